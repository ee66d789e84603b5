# A data.frame of R becomes a frame of Spark; a file of JSON is read, asked in SQL, and its answer is R's again.
library(SparkR)

sparkR.session(appName = "SparkR-DataFrame-example")

pets <- data.frame(pet = c("Rex", "Tom", "Polly"), legs = c(4, 4, 2))
frame <- createDataFrame(pets)
printSchema(frame)
print(head(filter(frame, frame$legs > 2)))

people <- read.json(file.path(Sys.getenv("SPARK_HOME"), "examples/src/main/resources/people.json"))
printSchema(people)

createOrReplaceTempView(people, "people")
teenagers <- collect(sql("SELECT name FROM people WHERE age BETWEEN 13 AND 19"))
print(teenagers)

sparkR.session.stop()
