"""A small Spark program. It writes to the file it is given when its first line runs and when it has a result."""

import sys
import time

with open(sys.argv[1], "w") as stamps:
    stamps.write(f"{time.time()}\n")

from pyspark.sql import SparkSession

spark = SparkSession.builder.getOrCreate()
total = spark.range(1000).selectExpr("sum(id)").collect()[0][0]
assert total == 499_500, total
with open(sys.argv[1], "a") as stamps:
    stamps.write(f"{time.time()}\n")
spark.stop()
