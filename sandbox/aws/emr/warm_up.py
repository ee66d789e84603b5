"""Run once while the class archive is being built: touches what most jobs touch, so that it is in the archive.

A query with an aggregation and a join, a Python worker, Parquet and JSON both ways, and the Scala interpreter that a
session needs. Executed by Spark's Python, so it imports nothing of the sandbox.
"""

from operator import add

from pyspark.sql import SparkSession
from pyspark.sql import functions as F

spark = SparkSession.builder.appName("warm-up").config("spark.sql.shuffle.partitions", "2").getOrCreate()
spark.range(1000).selectExpr("sum(id)").collect()
people = spark.createDataFrame([("Ann", 31), ("Bob", 25)], ["name", "age"])
people.write.mode("overwrite").parquet("people.parquet")
people.write.mode("overwrite").json("people.json")
read = spark.read.parquet("people.parquet").join(spark.read.json("people.json"), "name")
read.groupBy("name").agg(F.count("*").alias("n")).orderBy("name").show()
read.createOrReplaceTempView("people")
spark.sql("select upper(name), n from (select name, count(*) n from people group by name) order by 1").collect()
words = spark.sparkContext.parallelize(["a b", "b c"], 2).flatMap(str.split)
words.map(lambda word: (word, 1)).reduceByKey(add).collect()

# The interpreter's constructor is another one from Scala 2.13 on.
jvm = spark._jvm
settings = jvm.scala.tools.nsc.Settings()
settings.processArgumentString(f"-Yrepl-class-based -classpath {jvm.java.lang.System.getProperty('java.class.path')}")
writer = jvm.java.io.PrintWriter(jvm.java.io.StringWriter(), True)
if jvm.scala.util.Properties.versionNumberString().startswith("2.12"):
    interpreter = jvm.scala.tools.nsc.interpreter.IMain(settings, writer)
    interpreter.initializeSynchronous()
else:
    reporter = jvm.scala.tools.nsc.interpreter.shell.ReplReporterImpl(settings, writer)
    interpreter = jvm.scala.tools.nsc.interpreter.IMain(settings, reporter)
    interpreter.initializeCompiler()
interpreter.interpret("val squares = (1 to 3).map(n => n * n); println(squares.sum)")
spark.stop()
