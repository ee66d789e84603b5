# Windows: which rows a function sees around each row.

.WINDOW <- "org.apache.spark.sql.expressions.Window"

.as_columns <- function(...) lapply(unname(list(...)), column)

# A window by partitions, and one by order.
windowPartitionBy <- function(col, ...) .window(.static(.WINDOW, "partitionBy", .as_columns(col, ...)))
windowOrderBy <- function(col, ...) .window(.static(.WINDOW, "orderBy", .as_columns(col, ...)))

partitionBy <- .generic("partitionBy")
.method("partitionBy", "WindowSpec", function(x, col, ...) .window(.java(x@sws, "partitionBy", .as_columns(col, ...))))
.method("orderBy", "WindowSpec", function(x, col, ...) .window(.java(x@sws, "orderBy", .as_columns(col, ...))))

# Spark counts a distance this large as having no bound.
.bound <- function(number) as.integer(max(min(number, .Machine$integer.max), -.Machine$integer.max))

.between <- function(method) {
  force(method)
  function(x, start, end) {
    if (is.infinite(start) || is.infinite(end)) stop(method, " takes whole numbers.", call. = FALSE)
    .window(.java(x@sws, method, .bound(start), .bound(end)))
  }
}
rowsBetween <- .between("rowsBetween")
rangeBetween <- .between("rangeBetween")

setMethod("show", "WindowSpec", function(object) cat("WindowSpec\n"))
