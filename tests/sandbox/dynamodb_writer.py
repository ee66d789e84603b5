"""A process that writes to the sandbox's DynamoDB from many threads and says what was acknowledged, until it is killed.

Run as `python dynamodb_writer.py <file>`. Each line of output is an acknowledgement: `put <thread> <number>` for one
item, `pair <thread> <number>` for a transaction of two items.
"""

from __future__ import annotations

import itertools
import os
import pathlib
import sys
import threading

from dynamodb_support import create, key, new_client
from moto import mock_aws

from sandbox.aws.dynamodb import install

THREADS = 8


def write(client, thread: int) -> None:  # type: ignore[no-untyped-def]
    for number in itertools.count():
        if number % 3:
            client.put_item(TableName="T", Item=key(f"put-{thread}", number))
            done = "put"
        else:
            client.transact_write_items(
                TransactItems=[
                    {"Put": {"TableName": "T", "Item": key(f"left-{thread}", number)}},
                    {"Put": {"TableName": "T", "Item": key(f"right-{thread}", number)}},
                ]
            )
            done = "pair"
        os.write(1, f"{done} {thread} {number}\n".encode())


def main() -> None:
    with mock_aws():
        install(pathlib.Path(sys.argv[1]))
        client = new_client()
        create(client)
        threads = [threading.Thread(target=write, args=(client, number)) for number in range(THREADS)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()


if __name__ == "__main__":
    main()
