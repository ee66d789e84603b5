# What passes between R and the JVM, as org.apache.spark.api.r.SerDe reads and writes it: a letter for the type, then the
# value, numbers in big-endian. Text goes to the JVM with its length and a closing zero byte, and comes with its length.

.int_bytes <- function(value) writeBin(as.integer(value), raw(), endian = "big")

.double_bytes <- function(value) writeBin(as.double(value), raw(), endian = "big")

.text_bytes <- function(text) {
  bytes <- charToRaw(enc2utf8(text))
  c(.int_bytes(length(bytes) + 1L), bytes, as.raw(0))
}

# A vector that goes as a Java array even when it has one element.
.array <- function(values) structure(list(values = values), class = "java_array")

# A named list that goes as a java.util.Map.
.map <- function(values) structure(list(values = as.list(values)), class = "java_map")

# The letter and the bytes of each type of a vector's elements; the bytes of several follow each other.
.ELEMENTS <- list(
  integer = list(letter = "i", bytes = .int_bytes),
  double = list(letter = "d", bytes = .double_bytes),
  logical = list(letter = "b", bytes = .int_bytes),
  character = list(letter = "c", bytes = function(values) unlist(lapply(values, .text_bytes)))
)

.is_absent <- function(values) is.na(values) & !is.nan(values)

# Any R value as the JVM reads it. NA is null, and NaN is not.
.encode <- function(value) {
  if (is.null(value)) return(charToRaw("n"))
  known <- match(class(value), names(.ENCODERS), 0L)
  if (any(known)) return(.ENCODERS[[known[known > 0L][1]]](value))
  element <- .ELEMENTS[[typeof(value)]]
  if (is.null(element)) stop("A value of class ", class(value)[1], " cannot be sent to Spark.", call. = FALSE)
  if (length(value) != 1L) return(.encode(.array(value)))
  if (.is_absent(value)) return(charToRaw("n"))
  c(charToRaw(element$letter), element$bytes(value))
}

.encode_time <- function(value) {
  seconds <- as.double(as.POSIXct(value))
  if (is.na(seconds)) charToRaw("n") else c(charToRaw("t"), .double_bytes(seconds))
}

.encode_array <- function(value) {
  values <- value$values
  if (is.list(values)) {
    sizes <- lapply(lengths(values), .int_bytes)
    return(c(charToRaw("ar"), .int_bytes(length(values)), unlist(rbind(sizes, values))))
  }
  element <- .ELEMENTS[[typeof(values)]]
  c(charToRaw("a"), charToRaw(element$letter), .int_bytes(length(values)), element$bytes(values))
}

.encode_map <- function(value) {
  values <- value$values
  if (!length(values)) return(c(charToRaw("e"), .int_bytes(0L)))
  keys <- .encode(.array(names(values)))[-1]
  c(charToRaw("e"), .int_bytes(length(values)), keys, .encode(unname(values))[-1])
}

.ENCODERS <- list(
  jobj = function(value) c(charToRaw("j"), .text_bytes(value$id)),
  Column = function(value) .encode(value@jc),
  SparkDataFrame = function(value) .encode(value@sdf),
  WindowSpec = function(value) .encode(value@sws),
  structType = function(value) .encode(unclass(value)$jobj),
  structField = function(value) .encode(unclass(value)$jobj),
  java_array = .encode_array,
  java_map = .encode_map,
  factor = function(value) .encode(as.character(value)),
  Date = function(value) {
    if (is.na(value)) charToRaw("n") else c(charToRaw("D"), .text_bytes(format(value, "%Y-%m-%d")))
  },
  POSIXt = .encode_time,
  environment = function(value) .encode(.map(as.list(value, all.names = TRUE))),
  list = function(value) c(charToRaw("l"), .int_bytes(length(value)), unlist(lapply(unname(value), .encode))),
  raw = function(value) c(charToRaw("r"), .int_bytes(length(value)), value)
)

.read_int <- function(from, count = 1L) readBin(from, "integer", count, endian = "big")

.read_double <- function(from, count = 1L) readBin(from, "double", count, endian = "big")

.read_text <- function(from) {
  bytes <- readBin(from, "raw", .read_int(from))
  text <- rawToChar(if (any(bytes == 0L)) bytes[bytes != 0L] else bytes)
  Encoding(text) <- "UTF-8"
  text
}

.read_array <- function(from) {
  letter <- rawToChar(readBin(from, "raw", 1L))
  count <- .read_int(from)
  switch(letter,
    i = .read_int(from, count),
    d = .read_double(from, count),
    b = as.logical(.read_int(from, count)),
    c = vapply(seq_len(count), function(at) .read_text(from), ""),
    stop("Spark sent an array of the unknown type ", letter, ".", call. = FALSE)
  )
}

.read_map <- function(from) {
  map <- new.env(parent = emptyenv())
  for (at in seq_len(.read_int(from))) {
    key <- .read_text(from)
    assign(key, .read_object(from), envir = map)
  }
  map
}

.read_struct <- function(from) {
  names <- .read_object(from)
  structure(stats::setNames(.read_object(from), unlist(names)), class = "struct")
}

.READERS <- list(
  n = function(from) NULL,
  i = .read_int,
  d = .read_double,
  b = function(from) as.logical(.read_int(from)),
  c = .read_text,
  r = function(from) readBin(from, "raw", .read_int(from)),
  D = function(from) as.Date(.read_text(from)),
  t = function(from) .POSIXct(.read_double(from)),
  a = .read_array,
  l = function(from) lapply(seq_len(.read_int(from)), function(at) .read_object(from)),
  e = .read_map,
  s = .read_struct,
  j = function(from) .java_object(.read_text(from))
)

.read_object <- function(from) {
  letter <- rawToChar(readBin(from, "raw", 1L))
  reader <- .READERS[[letter]]
  if (is.null(reader)) stop("Spark sent a value of the unknown type ", letter, ".", call. = FALSE)
  reader(from)
}
