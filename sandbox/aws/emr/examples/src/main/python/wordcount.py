"""Counts the words of a text file; used where the pyspark package brings no examples of its own."""

import sys

from pyspark.sql import SparkSession
from pyspark.sql import functions as F

if len(sys.argv) != 2:
    sys.exit("Usage: wordcount.py <file>")
spark = SparkSession.builder.appName("PythonWordCount").getOrCreate()
words = spark.read.text(sys.argv[1]).select(F.explode(F.split("value", " ")).alias("word"))
for row in words.groupBy("word").count().collect():
    print(f"{row['word']}: {row['count']}")
spark.stop()
