# Reading and writing: sources of data, and SQL.

# A frame of a query, or of a statement.
sql <- function(sqlQuery) .frame(.java(.session(), "sql", sqlQuery))

.options <- function(given, na = NULL) {
  if (!is.null(na)) given$nullValue <- na
  given <- Filter(Negate(is.null), given)
  if (length(given) && (is.null(names(given)) || any(!nzchar(names(given))))) {
    stop("Options of a source have names, such as header = \"true\".", call. = FALSE)
  }
  .map(lapply(given, .as_text))
}

.default_source <- function() sparkR.conf("spark.sql.sources.default", "parquet")[[1]]

.reader <- function(schema, options) {
  reader <- .java(.session(), "read")
  if (!is.null(schema)) reader <- .java(reader, "schema", schema)
  .java(reader, "options", options)
}

# A frame of files, or of another source. What `...` names are the source's options.
read.df <- function(path = NULL, source = NULL, schema = NULL, na.strings = "NA", ...) {
  if (is.null(source)) source <- .default_source()
  nulls <- if (identical(source, "csv")) na.strings
  reader <- .java(.reader(schema, .options(list(...), nulls)), "format", source)
  .frame(if (is.null(path)) .java(reader, "load") else .java(reader, "load", .array(path)))
}
loadDF <- read.df

.reading <- function(format) {
  force(format)
  function(path, schema = NULL, ...) .frame(.java(.reader(schema, .options(list(...))), format, .array(path)))
}
read.json <- .reading("json")
read.orc <- .reading("orc")
read.parquet <- .reading("parquet")
read.text <- .reading("text")

# A table behind JDBC.
read.jdbc <- function(url, tableName, partitionColumn = NULL, lowerBound = NULL, upperBound = NULL, numPartitions = 0L,
                      predicates = list(), ...) {
  if (length(predicates)) stop("read.jdbc() of this SparkR takes no predicates.", call. = FALSE)
  options <- list(url = url, dbtable = tableName, partitionColumn = partitionColumn, lowerBound = lowerBound,
                  upperBound = upperBound, numPartitions = if (numPartitions > 0) numPartitions)
  do.call(read.df, c(list(source = "jdbc"), options, list(...)))
}

.MODES <- c("append", "overwrite", "error", "errorifexists", "ignore")

.writer <- function(df, mode, options, partitionBy = NULL) {
  if (!is.element(mode, .MODES)) stop("mode is one of ", paste(.MODES, collapse = ", "), ".", call. = FALSE)
  writer <- .java(.java(.java(df@sdf, "write"), "mode", mode), "options", options)
  if (is.null(partitionBy)) writer else .java(writer, "partitionBy", .array(as.character(partitionBy)))
}

# Writes a frame to files, or to another source.
write.df <- function(df, path = NULL, source = NULL, mode = "error", partitionBy = NULL, ...) {
  if (is.null(source)) source <- .default_source()
  writer <- .java(.writer(df, mode, .options(list(...)), partitionBy), "format", source)
  if (is.null(path)) .java(writer, "save") else .java(writer, "save", path)
  invisible(NULL)
}
saveDF <- write.df

.writing <- function(format) {
  force(format)
  function(x, path, mode = "error", ...) {
    .java(.writer(x, mode, .options(list(...))), format, path)
    invisible(NULL)
  }
}
write.json <- .writing("json")
write.orc <- .writing("orc")
write.parquet <- .writing("parquet")
write.text <- .writing("text")

# Writes a frame as a table, or adds it to one.
saveAsTable <- function(df, tableName, source = NULL, mode = "error", ...) {
  if (is.null(source)) source <- .default_source()
  .java(.java(.writer(df, mode, .options(list(...))), "format", source), "saveAsTable", tableName)
  invisible(NULL)
}
insertInto <- function(x, tableName, overwrite = FALSE) {
  .java(.writer(x, if (overwrite) "overwrite" else "append", .options(list())), "insertInto", tableName)
  invisible(NULL)
}

# Writes a frame to a table behind JDBC.
write.jdbc <- function(x, url, tableName, mode = "error", ...) {
  write.df(x, source = "jdbc", mode = mode, url = url, dbtable = tableName, ...)
}
