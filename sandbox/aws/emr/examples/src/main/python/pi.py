"""Estimates pi by throwing darts at a square; used where the pyspark package brings no examples of its own."""

import sys
from operator import add
from random import random

from pyspark.sql import SparkSession

spark = SparkSession.builder.appName("PythonPi").getOrCreate()
slices = int(sys.argv[1]) if len(sys.argv) > 1 else 2
darts = 100_000 * slices
inside = (
    spark.sparkContext.parallelize(range(darts), slices)
    .map(lambda _: random() ** 2 + random() ** 2 <= 1)
    .map(int)
    .reduce(add)
)
print(f"Pi is roughly {4.0 * inside / darts:f}")
spark.stop()
