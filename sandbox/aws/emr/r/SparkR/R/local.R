# Data of R as frames of Spark, and back. Rows go as Spark's own SerDe has them (SQLUtils.createDF), so that no R is needed
# where they are read; they come back column by column.

# Spark's simple type of R's values; of a list, that of its first element.
.type_of <- function(values) {
  for (class in names(.TYPES)) if (inherits(values, class)) return(.TYPES[[class]])
  type <- .TYPES[[typeof(values)]]
  if (is.null(type) || inherits(values, "difftime")) {
    stop("Spark has no type for values of class ", class(values)[1], ".", call. = FALSE)
  }
  type
}

.TYPES <- list(
  factor = "string", Date = "date", POSIXt = "timestamp",
  integer = "int", double = "double", logical = "boolean", character = "string", raw = "binary"
)

.element_type <- function(cells) {
  present <- Filter(function(cell) !is.null(cell) && !identical(cell, NA), cells)
  if (!length(present)) return("string")
  value <- present[[1]]
  if (is.environment(value)) {
    return(sprintf("map<string,%s>", .element_type(as.list(value, all.names = TRUE))))
  }
  if (inherits(value, "struct")) {
    types <- vapply(value, function(field) .element_type(list(field)), "")
    return(sprintf("struct<%s>", paste0("`", names(value), "`:", types, collapse = ",")))
  }
  if (is.list(value)) return(sprintf("array<%s>", .element_type(value)))
  if (length(value) == 1L || is.raw(value)) .type_of(value) else sprintf("array<%s>", .type_of(value))
}

.column_type <- function(values) if (is.list(values)) .element_type(values) else .type_of(values)

# One raw vector for each value of a column.
.cells <- function(values) {
  if (is.factor(values)) values <- as.character(values)
  if (inherits(values, "POSIXlt")) values <- as.POSIXct(values)
  if (is.list(values)) return(lapply(values, function(value) .encode(.nested(value))))
  letter <- if (inherits(values, "POSIXct")) "t" else if (inherits(values, "Date")) "D"
  absent <- .is_absent(unclass(values))
  if (identical(letter, "D")) values <- format(values, "%Y-%m-%d")
  element <- .ELEMENTS[[typeof(values)]]
  letter <- charToRaw(if (is.null(letter)) element$letter else letter)
  cells <- if (is.character(values)) {
    lapply(values, function(text) c(letter, .text_bytes(text)))
  } else {
    bytes <- matrix(element$bytes(unclass(values)), ncol = length(values))
    lapply(seq_along(values), function(at) c(letter, bytes[, at]))
  }
  cells[absent] <- list(charToRaw("n"))
  cells
}

# A value of a nested column: vectors of several elements are arrays, and named structs rows.
.nested <- function(value) {
  if (inherits(value, "struct")) return(structure(list(values = unname(unclass(value))), class = "java_row"))
  if (is.environment(value)) return(.map(lapply(as.list(value, all.names = TRUE), .nested)))
  if (is.list(value)) return(lapply(value, .nested))
  if (is.atomic(value) && length(value) != 1L && !is.raw(value)) return(as.list(value))
  value
}
.ENCODERS$java_row <- function(value) c(charToRaw("s"), .encode(lapply(value$values, .nested))[-1])

# Rows, given as lists, as a list of columns.
.transposed <- function(rows) {
  width <- unique(lengths(rows))
  if (length(width) != 1L) stop("The rows are not of one length.", call. = FALSE)
  columns <- lapply(seq_len(width), function(at) .simplified(lapply(rows, `[[`, at)))
  names <- names(rows[[1]])
  stats::setNames(columns, if (is.null(names)) paste0("_", seq_len(width)) else names)
}

# Cells of one simple kind as a vector.
.simplified <- function(cells) {
  simple <- vapply(cells, function(cell) is.null(cell) || is.atomic(cell) && length(cell) == 1L && !is.raw(cell), NA)
  if (!all(simple)) return(cells)
  cells[vapply(cells, is.null, NA)] <- NA
  do.call(c, cells)
}

.columns_of <- function(data) {
  if (is.data.frame(data)) {
    dotted <- grepl(".", names(data), fixed = TRUE)
    if (any(dotted)) {
      renamed <- gsub(".", "_", names(data), fixed = TRUE)
      warning(paste0("Column ", names(data)[dotted], " is called ", renamed[dotted], ".", collapse = " "), call. = FALSE)
      names(data) <- renamed
    }
    return(as.list(data))
  }
  if (is.list(data) && length(data) && all(vapply(data, is.list, NA))) return(.transposed(data))
  if (is.atomic(data) && length(data) || is.list(data) && length(data)) return(list(`_1` = data))
  stop("createDataFrame() takes a data.frame or a list of rows, not ", class(data)[1], ".", call. = FALSE)
}

# A frame of a data.frame or of a list of rows. `schema` is the columns' names, or a structType, or its DDL text.
createDataFrame <- function(data, schema = NULL, samplingRatio = 1.0, numPartitions = NULL) {
  if (inherits(data, "SparkDataFrame")) return(data)
  columns <- .columns_of(data)
  wanted <- NULL
  if (inherits(schema, "structType")) wanted <- schema
  if (is.character(schema) && length(schema) == 1L && grepl("[ :]", schema)) wanted <- structType(schema)
  names <- if (!is.null(wanted)) vapply(wanted$fields(), function(field) field$name(), "") else as.character(schema)
  if (length(names)) {
    if (length(names) != length(columns)) {
      stop("The schema has ", length(names), " columns and the data ", length(columns), ".", call. = FALSE)
    }
    names(columns) <- names
  }
  .as_wanted(.upload(columns, numPartitions), wanted)
}
as.DataFrame <- createDataFrame

.upload <- function(columns, partitions) {
  fields <- Map(structField, names(columns), vapply(columns, .column_type, ""))
  head <- .int_bytes(length(columns))
  cells <- lapply(unname(columns), .cells)
  rows <- do.call(mapply, c(list(function(...) c(head, ...), SIMPLIFY = FALSE, USE.NAMES = FALSE), cells))
  if (is.null(partitions)) partitions <- min(length(rows), .java(.context(), "defaultParallelism"))
  list <- .static("java.util.Arrays", "asList", .array(as.list(rows)))
  rdd <- .java(.java(.context(), "parallelize", list, max(1L, as.integer(partitions))), "rdd")
  schema <- do.call(structType, unname(fields))
  .frame(.static(.SQL_UTILS, "createDF", rdd, schema, .session()))
}

.as_wanted <- function(frame, schema) {
  if (is.null(schema)) return(frame)
  columns <- lapply(schema$fields(), function(field) {
    name <- field$name()
    alias(cast(column(.quoted(name)), field$dataType.simpleString()), name)
  })
  .frame(.java(frame@sdf, "select", columns))
}

.quoted <- function(name) paste0("`", gsub("`", "``", name, fixed = TRUE), "`")

# The rows as a data.frame of R.
collect <- .generic("collect")
.method("collect", "SparkDataFrame", function(x, stringsAsFactors = FALSE, ...) {
  types <- dtypes(x)
  names <- vapply(types, `[`, "", 1L)
  types <- vapply(types, `[`, "", 2L)
  columns <- .static(.SQL_UTILS, "dfToCols", .in_transit(x, types))
  data <- Map(.from_cells, columns, types)
  if (stringsAsFactors) data <- lapply(data, function(values) if (is.character(values)) factor(values) else values)
  rows <- if (length(columns)) length(columns[[1]]) else 0L
  structure(data, names = names, row.names = .set_row_names(rows), class = "data.frame")
})
.method("as.data.frame", "SparkDataFrame", function(x, row.names = NULL, optional = FALSE, ...) {
  data <- collect(x, ...)
  if (!is.null(row.names)) row.names(data) <- row.names
  data
})

# How a value of a type goes to R where the SerDe has no letter for it, or one that loses something: instants as seconds,
# dates as days, and the types that SparkR never knew as text.
.IN_TRANSIT <- c(timestamp = "CAST(%s AS DOUBLE)", date = "unix_date(%s)", default = "CAST(%s AS STRING)")
.AS_THEY_ARE <- "^(array|map|struct|binary|void)"

.in_transit <- function(x, types) {
  simple <- sub("\\(.*", "", types)
  way <- simple
  way[!is.element(simple, c(names(.VECTORS), names(.IN_TRANSIT))) & !grepl(.AS_THEY_ARE, types)] <- "default"
  if (!any(is.element(way, names(.IN_TRANSIT)))) return(x@sdf)
  names <- paste0("c", seq_along(types))
  selected <- Map(function(name, way) {
    if (is.element(way, names(.IN_TRANSIT))) expr(sprintf(.IN_TRANSIT[[way]], name)) else column(name)
  }, names, way)
  .java(.java(x@sdf, "toDF", .array(names)), "select", unname(selected))
}

.from_cells <- function(cells, type) {
  if (grepl(.AS_THEY_ARE, type)) return(cells)
  vector <- .vector_of(type)
  if (is.null(vector)) vector <- character()
  values <- rep(unclass(vector)[NA_integer_], length(cells))
  present <- !vapply(cells, is.null, NA)
  values[present] <- unlist(cells[present])
  attributes(values) <- attributes(vector)
  values
}

# The first rows as a data.frame.
take <- .generic("take")
.method("take", "SparkDataFrame", function(x, num, ...) collect(limit(x, num)))
.method("head", "SparkDataFrame", function(x, num = 6L, ...) take(x, num))
.method("first", "SparkDataFrame", function(x, num = 1, ...) take(x, num))
