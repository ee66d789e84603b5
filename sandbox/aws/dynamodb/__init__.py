"""DynamoDB for the sandbox: moto's requests, expressions and error texts on a SQLite file instead of a dict in memory.

Why moto's own storage will not do (moto 5.2.5): it is not atomic under threads, it is lost with the process, queries
and transactions cost O(table), TransactWriteItems ignores its client token, streams reach nobody reliably, and items
never expire. `install` replaces the storage for the whole process; everything else stays moto's. The parts:

    keys          key values as bytes that sort as DynamoDB sorts them
    documents     items as JSON text and back, and their size in DynamoDB's counting
    layout        the SQL table of a DynamoDB table: one row an item, one SQL index per secondary index
    rows          reading and writing one row
    storage       the file, its connections, and units of work (one request is one transaction)
    definitions   table definitions as JSON, so that a restart finds the tables again
    query         key conditions as SQL; reading one page
    tables        the methods of moto's Table that read and write items, on top of the storage
    streams       stream records in an outbox, written in the transaction of the change; durable cursors of consumers
    capacity      consumed read and write units
    transactions  ClientRequestToken
    expiry        time to live
    serializer    a quicker way to write attribute values into an answer
    direct        the short way from boto3 to moto within one process
    install       where all of this meets moto
"""

from sandbox.aws.dynamodb.install import Installed, install

__all__ = ["Installed", "install"]
