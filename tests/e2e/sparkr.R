# Asks the sandbox's SparkR for what scripts of R ask, and compares each answer. Started with a directory to write in.
library(SparkR)

directory <- commandArgs(trailingOnly = TRUE)[1]
sparkR.session(appName = "checks", sparkConfig = list(spark.sql.shuffle.partitions = 2, spark.mine = TRUE))
Sys.setenv(TZ = "UTC")

failed <- 0
checked <- 0
expect <- function(what, got, wanted) {
  checked <<- checked + 1
  equal <- all.equal(wanted, got)
  if (!isTRUE(equal)) {
    failed <<- failed + 1
    cat("NOT SO:", what, "\n", paste(equal, collapse = "\n "), "\n")
    print(got)
  }
}
error_of <- function(code) tryCatch({ code; "no error" }, error = conditionMessage)
column_of <- function(frame) collect(frame)[[1]]

# Data both ways

local <- data.frame(
  i = c(1L, NA, -3L), d = c(1.5, NaN, NA), b = c(TRUE, NA, FALSE), s = c("é ünï", NA, ""),
  day = as.Date(c("2020-02-29", NA, "1899-12-31")),
  at = as.POSIXct(c("2020-02-29 12:34:56.25", NA, "1950-01-01 00:00:00.5"), tz = "UTC"), stringsAsFactors = FALSE
)
frame <- createDataFrame(local)
back <- collect(frame)
expect("integers", back$i, local$i)
expect("doubles", back$d, local$d)
expect("NaN is not null", c(is.nan(back$d[2]), is.nan(back$d[3])), c(TRUE, FALSE))
expect("logicals", back$b, local$b)
expect("text", back$s, local$s)
expect("dates", back$day, local$day)
expect("instants", as.numeric(back$at), as.numeric(local$at))
expect("classes", lapply(back, class), lapply(local, class))
expect("types", dtypes(frame), list(
  c("i", "int"), c("d", "double"), c("b", "boolean"), c("s", "string"), c("day", "date"), c("at", "timestamp")
))
expect("R's types", unname(coltypes(frame)), c("integer", "numeric", "logical", "character", "Date", "POSIXct"))
expect("factors", collect(createDataFrame(data.frame(f = factor(c("u", NA, "v")))))$f, c("u", NA, "v"))
expect("stringsAsFactors", class(collect(frame, stringsAsFactors = TRUE)$s), "factor")
expect("rows", collect(createDataFrame(list(list(1L, "a"), list(NULL, "b")), c("n", "t"))),
       data.frame(n = c(1L, NA), t = c("a", "b")))
expect("a vector", column_of(createDataFrame(list("x", "y"), "v")), c("x", "y"))
expect("as.DataFrame", nrow(as.DataFrame(cars)), 50)
expect("dots", columns(suppressWarnings(createDataFrame(iris)))[1:2], c("Sepal_Length", "Sepal_Width"))
typed <- createDataFrame(data.frame(a = 1:2, b = c("3", NA)), structType(structField("a", "bigint"), structField("b", "int")))
expect("a schema", dtypes(typed), list(c("a", "bigint"), c("b", "int")))
expect("its values", collect(typed), data.frame(a = c(1, 2), b = c(3L, NA)))
expect("DDL", dtypes(createDataFrame(list(list(1L, "x")), "a DOUBLE, b STRING")), list(c("a", "double"), c("b", "string")))
expect("no rows", collect(filter(frame, "false"))$day, local$day[0])
expect("no rows up", nrow(createDataFrame(local[0, ])), 0)
nested <- createDataFrame(list(list(1:3, list("a", "b")), list(4L:5L, list())), c("n", "t"))
expect("arrays", dtypes(nested), list(c("n", "array<int>"), c("t", "array<string>")))
expect("their elements", unlist(collect(nested)$n[[1]]), 1:3)
row <- collect(sql("SELECT map('k', 1) AS m, named_struct('x', 1, 'y', 'z') AS s, decimal(1.25) AS d, 5L AS l, X'01ff' AS r,
  TIMESTAMP_NTZ'2020-01-01 00:00:00' AS n, array(1, 2) AS a"))
expect("maps", row$m[[1]][["k"]], 1L)
expect("structs", row$s[[1]][["y"]], "z")
expect("decimals and longs", c(row$d, row$l), c(1, 5))
expect("bytes", row$r[[1]], as.raw(c(1, 255)))
expect("what R has not", row$n, "2020-01-01 00:00:00")
many <- data.frame(n = seq_len(20000), t = as.character(seq_len(20000)))
expect("many rows, in order", collect(createDataFrame(many)), many)

# Frames

people <- createDataFrame(data.frame(
  name = c("Ann", "Bob", "Cid", "Dan"), age = c(31L, 25L, NA, 31L), pay = c(10, 20.5, 30, 0), stringsAsFactors = FALSE
))
expect("sizes", list(nrow(people), ncol(people), dim(people), count(people)), list(4, 3L, c(4, 3), 4))
expect("names", list(names(people), colnames(people), columns(people)), rep(list(c("name", "age", "pay")), 3))
expect("head", head(people, 2)$name, c("Ann", "Bob"))
expect("take and first", c(take(people, 1)$name, first(people)$name), c("Ann", "Ann"))
expect("select", columns(select(people, "name", people$age)), c("name", "age"))
expect("select of a vector and a list", columns(select(people, c("pay", "name"))), columns(select(people, list("pay", people$name))))
expect("selectExpr", column_of(selectExpr(people, "pay * 2 AS double")), c(20, 41, 60, 0))
expect("filter", column_of(filter(people, people$age > 26 & people$pay > 5)), "Ann")
expect("where", column_of(where(people, "name LIKE 'B%'")), "Bob")
expect("[ ]", collect(people[people$age == 25, c("name", "pay")]), data.frame(name = "Bob", pay = 20.5))
expect("[ ] of columns", columns(people[c("name", "pay")]), c("name", "pay"))
expect("subset", column_of(subset(people, people$pay == 0, select = "name")), "Dan")
expect("[[ ]]", column_of(select(people, people[["name"]]))[1], "Ann")
changed <- people
changed$twice <- changed$pay * 2
changed$age <- NULL
changed$one <- 1L
expect("$<-", as.list(collect(changed)[2, ]), list(name = "Bob", pay = 20.5, twice = 41, one = 1L))
expect("withColumn", column_of(select(withColumn(people, "z", lit("q")), "z"))[1], "q")
expect("mutate", collect(limit(mutate(people, more = people$pay + 1), 1))$more, 11)
expect("transform", collect(limit(transform(people, pay = people$pay + 1), 1))$pay, 11)
expect("renamed", columns(withColumnRenamed(people, "pay", "wage")), c("name", "age", "wage"))
expect("rename", columns(rename(people, wage = people$pay)), c("name", "age", "wage"))
renamed <- people
colnames(renamed) <- c("a", "b", "c")
names(renamed)[1] <- "z"
expect("names<-", columns(renamed), c("z", "b", "c"))
expect("drop", columns(drop(people, c("age", "pay"))), "name")
expect("arrange", column_of(arrange(people, desc(people$pay)))[1], "Cid")
expect("arrange by name", column_of(arrange(people, "age", "name", decreasing = c(TRUE, FALSE))), c("Ann", "Dan", "Bob", "Cid"))
expect("orderBy", column_of(orderBy(people, people$pay))[1], "Dan")
expect("distinct", count(distinct(select(people, "age"))), 3)
expect("unique and dropDuplicates", c(nrow(unique(people)), nrow(dropDuplicates(people, "age"))), c(4, 3))
expect("union", count(union(people, people)), 8)
expect("rbind", count(rbind(people, people, people)), 12)
expect("except and intersect", c(count(except(people, limit(people, 1))), count(intersect(people, limit(people, 1)))), c(3, 1))
expect("unionByName", columns(unionByName(people, drop(people, "pay"), allowMissingColumns = TRUE)), columns(people))
expect("sample", nrow(sample(people, FALSE, 1.0, 7L)), 4)
expect("randomSplit", sum(vapply(randomSplit(people, c(1, 1), 3), count, 0)), 4)
expect("dropna", nrow(dropna(people)), 3)
expect("na.omit", nrow(na.omit(people, cols = "pay")), 4)
expect("fillna", collect(fillna(people, 7, "age"))$age, c(31L, 25L, 7L, 31L))
expect("fillna of a list", collect(fillna(people, list(age = 8)))$age[3], 8L)
expect("repartition", getNumPartitions(repartition(people, 3L)), 3L)
expect("repartition by a column", nrow(repartition(people, 2L, people$age)), 4)
expect("coalesce", getNumPartitions(coalesce(repartition(people, 3L), 1L)), 1L)
expect("cache", storageLevel(cache(people)), "Disk Memory Deserialized 1x Replicated")
expect("unpersist", nrow(unpersist(people, TRUE)), 4)
expect("describe", collect(describe(people, "pay"))[[2]][c(1, 5)], c("4", "30.0"))
expect("summary", "50%" %in% column_of(summary(people)), TRUE)
expect("crosstab", dim(crosstab(people, "name", "age")), c(4L, 4L))
expect("corr and cov", c(corr(people, "pay", "pay"), cov(people, "pay", "pay") > 0), c(1, 1))
expect("quantiles", approxQuantile(people, "pay", c(0, 1), 0), list(0, 30))
expect("with", column_of(select(people, with(people, pay * 2)))[1], 20)
expect("as.data.frame", as.data.frame(people), collect(people))
expect("toJSON", column_of(toJSON(limit(people, 1))), '{"name":"Ann","age":31,"pay":10.0}')

# Joins

towns <- createDataFrame(data.frame(name = c("Ann", "Bob", "Eve"), town = c("Oslo", "Rome", "Bern")))
inner <- join(people, towns, people$name == towns$name)
expect("join", sort(collect(inner)$town), c("Oslo", "Rome"))
expect("join, left", nrow(join(people, towns, people$name == towns$name, "left_outer")), 4)
expect("join, anti", nrow(join(people, towns, people$name == towns$name, "left_anti")), 2)
expect("merge", columns(merge(people, towns)), c("name_x", "age", "pay", "name_y", "town"))
expect("merge, all", nrow(merge(people, towns, by = "name", all = TRUE)), 5)
expect("crossJoin", nrow(crossJoin(people, towns)), 12)

# Groups

ages <- collect(arrange(agg(groupBy(people, "age"), n = n(people$name), pay = avg(people$pay)), "age"))
expect("agg", ages, data.frame(age = c(NA, 25L, 31L), n = c(1, 1, 2), pay = c(30, 20.5, 5)))
expect("agg by name", columns(agg(people, pay = "max", age = "min")), c("max(pay)", "min(age)"))
expect("summarize", collect(summarize(people, most = max(people$pay), least = min(people$pay), all = sum(people$pay))),
       data.frame(most = 30, least = 0, all = 60.5))
expect("count of groups", sort(collect(count(group_by(people, people$age)))$count), c(1, 1, 2))
expect("avg of groups", sort(collect(avg(groupBy(people, "age"), "pay"))[[2]]), c(5, 20.5, 30))
expect("pivot", columns(sum(pivot(groupBy(people, "name"), "age", list(25L, 31L)), "pay")), c("name", "25", "31"))
expect("distinct values", column_of(agg(people, countDistinct(people$age))), 2)
window <- orderBy(windowPartitionBy("age"), "pay")
ranked <- collect(arrange(select(people, "name", alias(over(row_number(), window), "n")), "name"))
expect("windows", ranked$n, c(2L, 1L, 1L, 1L))
expect("lag", collect(arrange(select(people, "name", over(lag(people$pay, 1), windowOrderBy("pay"))), "name"))[[2]], c(0, 10, 20.5, NA))
running <- over(sum(people$pay), rowsBetween(windowOrderBy("pay"), -1, 0))
expect("rowsBetween", sort(column_of(select(people, running))), c(0, 10, 30.5, 50.5))
expect("rank", sort(column_of(select(people, over(rank(), windowOrderBy(desc(people$age)))))), c(1L, 1L, 3L, 4L))

# Columns

one <- createDataFrame(data.frame(x = 7, y = 2L, s = "a-b-c", t = "  Mid ", d = as.Date("2024-02-28"), stringsAsFactors = FALSE))
value <- function(column) column_of(select(one, column))
expect("arithmetic", unlist(lapply(list(one$x + 1, 1 - one$x, one$x * 2, one$x / 2, one$x %% 4, one$x^2, -one$x), value)),
       c(8, -6, 14, 3.5, 3, 49, -7))
expect("comparison", unlist(lapply(list(one$x > 3, one$x <= 3, one$x == 7, 7 != one$x, !(one$y < 3), one$x > 1 | one$y > 9), value)),
       c(TRUE, FALSE, TRUE, FALSE, FALSE, TRUE))
expect("%in%", unlist(lapply(list(one$y %in% c(1, 2), one$s %in% "z"), value)), c(TRUE, FALSE))
expect("a date of R", value(one$d == as.Date("2024-02-28")), TRUE)
expect("between", value(between(one$x, c(7, 9))), TRUE)
expect("nulls", unlist(lapply(list(isNull(one$x), isNotNull(one$x), lit(NULL) %<=>% lit(NULL)), value)), c(FALSE, TRUE, TRUE))
expect("cast", list(value(cast(one$x, "integer")), value(cast(one$y, "character"))), list(7L, "2"))
expect("like", unlist(lapply(list(like(one$s, "a%"), rlike(one$s, "^b"), startsWith(one$s, "a"), endsWith(one$s, "a"), contains(one$s, "-b-")), value)),
       c(TRUE, FALSE, TRUE, FALSE, TRUE))
expect("when", value(otherwise(when(one$x > 9, "big"), "small")), "small")
expect("ifelse", value(ifelse(one$x > 5, one$y, 0L)), 2L)
texts <- list(upper(one$s), lower(one$t), trim(one$t), substr(one$s, 3, 5), concat(one$s, one$t), concat_ws("+", one$s, one$t),
  lpad(one$s, 7, "*"), regexp_replace(one$s, "-", ""), regexp_extract(one$s, "(.)-", 1), reverse(one$s), initcap(one$s),
  format_string("%d/%s", one$y, one$s), date_format(one$d, "yyyy/MM"), translate(one$s, "ab", "xy"))
expect("functions of text", unlist(lapply(texts, value)), c("A-B-C", "  mid ", "Mid", "b-c", "a-b-c  Mid ", "a-b-c+  Mid ",
  "**a-b-c", "abc", "a", "c-b-a", "A-b-c", "2/a-b-c", "2024/02", "x-y-c"))
numbers <- list(abs(-one$x), sqrt(one$x + 2), round(one$x / 3, 2), floor(one$x / 2), ceiling(one$x / 2), exp(one$x - 7), log(one$x - 6),
  length(one$s), instr(one$s, "b"), locate("c", one$s), greatest(one$x, one$y), size(split_string(one$s, "-")), year(one$d), month(one$d),
  dayofmonth(last_day(one$d)), datediff(date_add(one$d, 2), one$d), levenshtein(one$s, lit("a-b")), coalesce(lit(NULL), one$y))
expect("functions of numbers", unlist(lapply(numbers, value)), c(7, 3, 2.33, 3, 4, 1, 0, 5, 3, 5, 7, 3, 2024, 2, 29, 2, 2, 2))
expect("to_date", value(to_date(lit("2024/03/01"), "yyyy/MM/dd")), as.Date("2024-03-01"))
expect("explode", column_of(select(one, explode(split_string(one$s, "-")))), c("a", "b", "c"))
expect("arrays and structs", list(value(array_contains(create_array(one$x, one$y), 7)), value(struct("x", "y")$y)), list(TRUE, 2L))
expect("collect_list", sort(unlist(column_of(agg(people, collect_list(people$pay)))[[1]])), c(0, 10, 20.5, 30))
expect("expr and col", c(value(expr("x + 1")), value(col("x")), value(column("x"))), c(8, 7, 7))
expect("rand", value(rand(5)) < 1, TRUE)
expect("R's own functions", list(mean(c(1, 3)), sd(c(1, 3)), max(2, 5), filter(1:3, 1)[2], ifelse(c(TRUE, FALSE), "a", "b"),
  substr("hello", 2, 3), 3 %in% 1:4, nrow(cars), union(1:2, 2:3), drop(matrix(1:2, 1)), subset(cars, speed > 24)$dist, rank(c(3, 1)),
  startsWith("ab", "a"), length(1:3), head(letters, 1), intersect(1:3, 2:5), sample(1, 1), var(c(1, 3))),
  list(2, sqrt(2), 5, 2, c("a", "b"), "el", TRUE, 50L, 1:3, 1:2, 85, c(2, 1), TRUE, 3L, "a", 2:3, 1L, 2))

# SQL, tables, files

createOrReplaceTempView(people, "people")
expect("sql", column_of(sql("SELECT name FROM people WHERE pay > 15 ORDER BY 1")), c("Bob", "Cid"))
expect("tableToDF", nrow(tableToDF("people")), 4)
expect("tables", c("people" %in% tableNames(), "people" %in% collect(tables())$tableName), c(TRUE, TRUE))
expect("dropTempView", c(dropTempView("people"), dropTempView("people")), c(TRUE, FALSE))
file <- function(name) file.path(directory, name)
write.df(people, file("p.parquet"), "parquet", "overwrite")
expect("parquet", collect(arrange(read.parquet(file("p.parquet")), "name")), collect(people))
expect("the default source", nrow(read.df(file("p.parquet"))), 4)
write.json(people, file("p.json"))
expect("json", sort(collect(read.json(file("p.json")))$name), c("Ann", "Bob", "Cid", "Dan"))
write.df(coalesce(people, 1L), file("p.csv"), source = "csv", header = TRUE)
csv <- read.df(file("p.csv"), "csv", header = "true", inferSchema = TRUE)
expect("csv", collect(arrange(csv, "name"))$age, c(31L, 25L, NA, 31L))
expect("csv, given a schema", dtypes(read.df(file("p.csv"), "csv", structType("a STRING, b LONG, c DOUBLE"), header = "true"))[[2]],
       c("b", "bigint"))
write.text(select(people, "name"), file("p.txt"), mode = "overwrite")
expect("text", sort(column_of(read.text(file("p.txt")))), c("Ann", "Bob", "Cid", "Dan"))
expect("append", { write.parquet(people, file("p.parquet"), mode = "append"); nrow(read.parquet(file("p.parquet"))) }, 8)
write.df(people, file("by"), "parquet", partitionBy = "age")
expect("partitionBy", dir.exists(file("by/age=25")), TRUE)

# The session, and errors

expect("conf", sparkR.conf("spark.mine"), list(spark.mine = "true"))
expect("conf, with a default", sparkR.conf("spark.none", "0"), list(spark.none = "0"))
expect("conf, absent", error_of(sparkR.conf("spark.none")), "Config 'spark.none' is not set")
expect("name", sparkR.conf("spark.app.name")[[1]], "checks")
setLogLevel("ERROR")
expect("a second session is the first", { sparkR.session(spark.other = "x"); sparkR.conf("spark.other")[[1]] }, "x")
contains_text <- function(text, part) grepl(part, text, fixed = TRUE)
expect("Spark's errors", contains_text(error_of(select(people, "nope")), "org.apache.spark.sql.AnalysisException: [UNRESOLVED_COLUMN"), TRUE)
expect("errors of parsing", contains_text(error_of(sql("SELEC 1")), "PARSE_SYNTAX_ERROR"), TRUE)
expect("errors of tasks", contains_text(error_of(collect(sql("SELECT raise_error('bang')"))), "bang"), TRUE)
expect("existing files", contains_text(error_of(write.parquet(people, file("p.parquet"))), "PATH_ALREADY_EXISTS"), TRUE)
expect("modes", error_of(write.parquet(people, file("x"), mode = "perhaps")), "mode is one of append, overwrite, error, errorifexists, ignore.")
expect("what R's values are not", error_of(createDataFrame(data.frame(z = 1i))), "Spark has no type for values of class complex.")
expect("of what it is not", error_of(upper("x")), "upper() does not take a value of class character.")
expect("what is absent", error_of(dapply(people, function(x) x, schema(people))),
       "dapply() belongs to functions of R on executors, which this sandbox's SparkR has not.")
expect("MLlib", contains_text(error_of(spark.glm(people, pay ~ age)), "belongs to MLlib"), TRUE)
expect("the connection is in step after errors", nrow(people), 4)
for (round in 1:300) lit(round)
invisible(gc())
expect("objects are let go", nrow(people), 4)

# What is printed

people
people$pay
groupBy(people, "age")
printSchema(people)
showDF(people, 2)
schema(people)
str(people)
sparkR.session.stop()
expect("without a session", contains_text(error_of(sql("SELECT 1")), "sparkR.session()"), TRUE)
sparkR.session(appName = "again")
expect("another session", column_of(sql("SELECT 1")), 1L)
sparkR.session.stop()
cat(checked, "checked,", failed, "failed\n")
if (failed > 0) stop(failed, " of ", checked, " are not so")
