# Frames: what they are, and what is made of one frame alone.

.on_frame <- function(x, method, ...) .frame(.java(x@sdf, method, ...))

# Columns of frame `x` from names, Columns and lists of them.
.columns <- function(x, ...) {
  given <- unlist(list(...), recursive = TRUE)
  unname(lapply(given, function(one) if (.is_column(one)) one else .column_named(x, one)))
}

.column_named <- function(x, name) .column(.java(x@sdf, "col", name))

# Names and types

# The columns' names.
columns <- .generic("columns")
.method(c("columns", "names"), "SparkDataFrame", function(x) unlist(.java(x@sdf, "columns")))
.method("names<-", "SparkDataFrame", function(x, value) .on_frame(x, "toDF", .array(as.character(value))))
.method("dimnames", "SparkDataFrame", function(x) list(NULL, columns(x)))
.method("dimnames<-", "SparkDataFrame", function(x, value) .on_frame(x, "toDF", .array(as.character(value[[2]]))))
`columns<-` <- function(x, value) .on_frame(x, "toDF", .array(as.character(value)))

# The frame's schema; and its columns' names with their types.
schema <- .generic("schema")
.method("schema", "SparkDataFrame", function(x) .struct_type(.java(x@sdf, "schema")))
dtypes <- function(x) lapply(schema(x)$fields(), function(field) c(field$name(), field$dataType.simpleString()))
printSchema <- function(x) cat(.java(.java(x@sdf, "schema"), "treeString"), "\n", sep = "")

# What each column is in R; Spark's type for what R has none for.
coltypes <- function(x) {
  vapply(dtypes(x), function(one) {
    vector <- .vector_of(one[2])
    if (is.null(vector)) return(one[2])
    if (inherits(vector, "POSIXct")) "POSIXct" else if (is.double(vector) && !is.object(vector)) "numeric" else class(vector)
  }, "")
}

.method("str", "SparkDataFrame", function(object, ...) {
  types <- vapply(dtypes(object), function(one) paste0(" $ ", one[1], ": ", one[2]), "")
  cat("'SparkDataFrame': ", length(types), " variables:\n", paste0(types, "\n"), sep = "")
})
setMethod("show", "SparkDataFrame", function(object) {
  types <- vapply(dtypes(object), paste, "", collapse = ":")
  cat("SparkDataFrame[", paste(types, collapse = ", "), "]\n", sep = "")
})
.method("print", "SparkDataFrame", function(x, ...) show(x))

# Sizes

count <- .generic("count")
.method("count", "SparkDataFrame", function(x) .java(x@sdf, "count"))
nrow <- .generic("nrow")
.method("nrow", "SparkDataFrame", function(x) count(x))
ncol <- .generic("ncol")
.method("ncol", "SparkDataFrame", function(x) length(columns(x)))
.method("dim", "SparkDataFrame", function(x) c(count(x), ncol(x)))
isLocal <- function(x) .java(x@sdf, "isLocal")
isStreaming <- function(x) .java(x@sdf, "isStreaming")
getNumPartitions <- function(x) .java(.java(x@sdf, "rdd"), "getNumPartitions")

# Print the first rows; `truncate` is whether to cut long values, or after how many characters.
showDF <- function(x, numRows = 20, truncate = TRUE, vertical = FALSE) {
  width <- if (is.logical(truncate)) if (truncate) 20L else 0L else as.integer(truncate)
  cat(.java(x@sdf, "showString", as.integer(numRows), width, vertical), "\n", sep = "")
}

# Print the plan.
explain <- function(x, extended = FALSE) {
  execution <- .java(x@sdf, "queryExecution")
  cat(if (extended) .java(execution, "toString") else .java(execution, "simpleString"), "\n", sep = "")
}

# Columns of the frame

.method(c("$", "[["), "SparkDataFrame", function(x, name) {
  if (is.numeric(name)) name <- columns(x)[name]
  .column_named(x, name)
})
.method(c("$<-", "[[<-"), "SparkDataFrame", function(x, name, value) {
  if (is.numeric(name)) name <- columns(x)[name]
  if (is.null(value)) drop(x, name) else withColumn(x, name, value)
})
.method("[", "SparkDataFrame", function(x, i, j, ..., drop = FALSE) {
  if (nargs() - (if (missing(drop)) 0L else 1L) == 2L) return(.picked(x, i, drop))
  if (!missing(i)) x <- filter(x, i)
  if (missing(j)) x else .picked(x, j, drop)
})
.picked <- function(x, which, drop) {
  if (is.numeric(which)) which <- columns(x)[which]
  if (drop && length(which) == 1L) .columns(x, which)[[1]] else select(x, which)
}
.method("subset", "SparkDataFrame", function(x, subset, select, drop = FALSE, ...) {
  if (!missing(subset)) x <- filter(x, subset)
  if (missing(select)) x else .picked(x, select, drop)
})
.method("with", "SparkDataFrame", function(data, expr, ...) {
  columns <- stats::setNames(lapply(columns(data), function(name) .column_named(data, name)), columns(data))
  eval(substitute(expr), columns, enclos = parent.frame())
})

# A frame of these columns, by name or as Columns; and of these expressions of SQL.
select <- .generic("select")
.method("select", "SparkDataFrame", function(x, col, ...) .on_frame(x, "select", .columns(x, col, ...)))
selectExpr <- function(x, expr, ...) .on_frame(x, "selectExpr", .array(c(expr, ...)))

# The rows for which a Column, or SQL's text, is true.
filter <- .generic("filter")
.method("filter", "SparkDataFrame", function(x, condition, ...) .on_frame(x, "filter", condition))
where <- .generic("where")
.method("where", "SparkDataFrame", function(x, condition, ...) filter(x, condition))

# The frame with one column more, or another in its place.
withColumn <- function(x, colName, col) .on_frame(x, "withColumn", colName, .literal(col))
.mutated <- function(frame, columns, texts) {
  names <- if (is.null(names(columns))) rep("", length(columns)) else names(columns)
  names <- mapply(function(name, text) if (nzchar(name)) name else text, names, texts)
  for (at in seq_along(columns)) frame <- withColumn(frame, names[[at]], columns[[at]])
  frame
}
.texts <- function(expressions) vapply(expressions, function(one) paste(deparse(one), collapse = ""), "")
mutate <- .generic("mutate")
.method("mutate", "SparkDataFrame", function(.data, ...) .mutated(.data, list(...), .texts(substitute(list(...))[-1])))
.method("transform", "SparkDataFrame", function(`_data`, ...) {
  .mutated(`_data`, list(...), .texts(substitute(list(...))[-1]))
})
withColumnRenamed <- function(x, existingCol, newCol) .on_frame(x, "withColumnRenamed", existingCol, newCol)
rename <- .generic("rename")
.method("rename", "SparkDataFrame", function(x, ...) {
  renamed <- list(...)
  for (name in names(renamed)) {
    old <- renamed[[name]]
    x <- withColumnRenamed(x, if (.is_column(old)) .java(old@jc, "toString") else old, name)
  }
  x
})

# The frame without these columns.
drop <- .generic("drop")
.method("drop", "SparkDataFrame", function(x, col, ...) {
  for (one in list(col, ...)) x <- .on_frame(x, "drop", if (.is_column(one)) one else .array(one))
  x
})

# Rows

# The rows in order of these columns; `decreasing` is for those given by name.
arrange <- .generic("arrange")
.method("arrange", "SparkDataFrame", function(x, col, ..., decreasing = FALSE, withinPartitions = FALSE) {
  given <- unlist(list(col, ...), recursive = TRUE)
  decreasing <- rep_len(decreasing, length(given))
  order <- Map(function(one, down) {
    if (.is_column(one)) one else .on_column(.column_named(x, one), if (down) "desc" else "asc")
  }, given, decreasing)
  .on_frame(x, if (withinPartitions) "sortWithinPartitions" else "sort", unname(order))
})
orderBy <- .generic("orderBy")
.method("orderBy", "SparkDataFrame", function(x, col, ...) arrange(x, col, ...))

limit <- function(x, num) .on_frame(x, "limit", as.integer(num))
distinct <- .generic("distinct")
.method(c("distinct", "unique"), "SparkDataFrame", function(x, ...) .on_frame(x, "distinct"))

# One row for each combination of these columns, or of all.
dropDuplicates <- function(x, ...) {
  names <- unlist(list(...))
  if (length(names)) .on_frame(x, "dropDuplicates", .array(names)) else .on_frame(x, "dropDuplicates")
}

.seed <- function(seed) as.integer(if (missing(seed)) stats::runif(1, 0, 1e9) else seed)

# A random part of the rows, with these odds for each.
sample <- .generic("sample")
.method("sample", "SparkDataFrame", function(x, withReplacement = FALSE, fraction, seed, ...) {
  .on_frame(x, "sample", withReplacement, as.double(fraction), .seed(seed))
})
sample_frac <- function(x, withReplacement = FALSE, fraction, seed) sample(x, withReplacement, fraction, seed)
randomSplit <- function(x, weights, seed) {
  lapply(.java(x@sdf, "randomSplit", .array(as.double(weights)), .seed(seed)), .frame)
}

# Rows without nulls: in any or all of these columns, or with at least so many values.
dropna <- function(x, how = c("any", "all"), minNonNulls = NULL, cols = NULL) {
  names <- .array(if (is.null(cols)) columns(x) else as.character(cols))
  least <- if (is.null(minNonNulls)) match.arg(how) else as.integer(minNonNulls)
  .frame(.java(.java(x@sdf, "na"), "drop", least, names))
}
.method("na.omit", "SparkDataFrame", function(object, ...) dropna(object, ...))

# Values in the place of nulls: one for these columns, or a list with one for each name.
fillna <- function(x, value, cols = NULL) {
  nulls <- .java(x@sdf, "na")
  if (is.list(value)) return(.frame(.java(nulls, "fill", .map(value))))
  if (is.integer(value)) value <- as.double(value)
  .frame(.java(nulls, "fill", value, .array(if (is.null(cols)) columns(x) else as.character(cols))))
}

# Statistics

describe <- .generic("describe")
.method("describe", "SparkDataFrame", function(x, col, ...) {
  names <- if (missing(col)) columns(x) else c(col, ...)
  .on_frame(x, "describe", .array(names))
})
.method("summary", "SparkDataFrame", function(object, ...) .on_frame(object, "summary", .array(as.character(c(...)))))

.stat <- function(x, method, ...) .java(.java(x@sdf, "stat"), method, ...)
crosstab <- function(x, col1, col2) collect(.frame(.stat(x, "crosstab", col1, col2)))
freqItems <- function(x, cols, support = 0.01) collect(.frame(.stat(x, "freqItems", .array(cols), support)))
.method("corr", "SparkDataFrame", function(x, colName1, colName2, method = "pearson") {
  .stat(x, "corr", colName1, colName2, method)
})
.method("cov", "SparkDataFrame", function(x, colName1, colName2) .stat(x, "cov", colName1, colName2))
approxQuantile <- function(x, cols, probabilities, relativeError = 0) {
  found <- .stat(x, "approxQuantile", .array(cols), .array(as.double(probabilities)), as.double(relativeError))
  if (length(cols) == 1L) as.list(found[[1]]) else lapply(found, as.list)
}

# Where and how the frame is kept

cache <- function(x) persist(x, "MEMORY_AND_DISK")
persist <- function(x, newLevel = "MEMORY_AND_DISK") {
  .java(x@sdf, "persist", .static("org.apache.spark.storage.StorageLevel", "fromString", newLevel))
  x
}
unpersist <- function(x, blocking = FALSE) {
  .java(x@sdf, "unpersist", blocking)
  x
}
storageLevel <- function(x) .java(.java(x@sdf, "storageLevel"), "description")
checkpoint <- function(x, eager = TRUE) .on_frame(x, "checkpoint", eager)
localCheckpoint <- function(x, eager = TRUE) .on_frame(x, "localCheckpoint", eager)

# The frame in so many partitions, or by the values of columns.
.repartitioned <- function(method) {
  force(method)
  function(x, numPartitions = NULL, col = NULL, ...) {
    if (.is_column(numPartitions)) return(.on_frame(x, method, .columns(x, numPartitions, col, ...)))
    by <- .columns(x, col, ...)
    if (is.null(numPartitions)) return(.on_frame(x, method, by))
    number <- as.integer(numPartitions)
    if (length(by)) .on_frame(x, method, number, by) else .on_frame(x, method, number)
  }
}
repartition <- .repartitioned("repartition")
repartitionByRange <- .repartitioned("repartitionByRange")
.method("coalesce", "SparkDataFrame", function(x, numPartitions, ...) .on_frame(x, "coalesce", as.integer(numPartitions)))

hint <- function(x, name, ...) .on_frame(x, "hint", name, list(...))
.method("alias", "SparkDataFrame", function(object, ...) .on_frame(object, "alias", ...))
toJSON <- function(x) .frame(.java(.java(x@sdf, "toJSON"), "toDF"))

# Not a column but a mark for the optimiser: the frame is small.
broadcast <- function(x) .frame(.static(.FUNCTIONS, "broadcast", x))
