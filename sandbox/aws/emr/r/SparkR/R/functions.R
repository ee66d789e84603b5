# Functions of columns. Nearly all are functions of SQL under SparkR's name for them: what a function takes, Spark checks.

# The function of SQL of these arguments. R's numbers are doubles; a whole one is what SQL's counts and positions are.
.sql <- function(name, ...) {
  .column(.static(.FUNCTIONS, "call_function", name, lapply(list(...), .argument)))
}

.argument <- function(value) {
  if (.is_column(value)) return(value)
  if (inherits(value, "structType")) return(lit(.java(unclass(value)$jobj, "toDDL")))
  if (typeof(value) == "double" && is.null(attributes(value)) && length(value) == 1L) {
    whole <- suppressWarnings(as.integer(value))
    if (identical(as.double(whole), value)) value <- whole
  }
  lit(value)
}

.words <- function(text) scan(text = text, what = "", quiet = TRUE)

# Of a column first, and of whatever else SQL's function takes: SparkR's name, and SQL's where it is another one.
.OF_COLUMN <- .words("
  add_months any_value approx_count_distinct array_contains array_distinct array_except array_intersect array_join
  array_max array_min array_position array_remove array_repeat array_sort array_union arrays_overlap arrays_zip ascii atan2
  avg base64 bin bit_length bround cbrt ceil coalesce collect_list collect_set concat conv corr cot count covar_pop
  covar_samp crc32 csc date_add date_format date_sub datediff dayofmonth dayofweek dayofyear decode degrees element_at
  encode explode explode_outer factorial flatten format_number from_json from_unixtime from_utc_timestamp get_json_object
  greatest hash hex hour hypot initcap instr isnan kurtosis last_day least levenshtein ln lower lpad ltrim map_concat
  map_entries map_from_arrays map_from_entries map_keys map_values max_by md5 mean min_by minute month months_between
  nanvl next_day nth_value octet_length percentile percentile_approx posexplode posexplode_outer quarter radians
  regexp_extract regexp_replace reverse rpad rtrim sec second sha1 sha2 shiftleft shiftright shiftrightunsigned signum size
  skewness slice soundex stddev stddev_pop stddev_samp to_csv to_date to_json to_timestamp to_utc_timestamp translate
  trim trunc unbase64 unhex upper var_pop var_samp variance weekofyear xxhash64 year length
")
.OTHER_NAMES <- c(
  approxCountDistinct = "approx_count_distinct", bitwiseNOT = "~", bitwise_not = "~", cov = "covar_samp",
  create_array = "array", create_map = "map", isNaN = "isnan", n = "count", repeat_string = "repeat", sd = "stddev",
  shiftLeft = "shiftleft", shiftRight = "shiftright", shiftRightUnsigned = "shiftrightunsigned", toDegrees = "degrees",
  toRadians = "radians", var = "variance"
)

# Of anything, or of nothing.
.OF_ANYTHING <- .words("
  assert_true concat_ws cume_dist current_date current_timestamp date_trunc dense_rank format_string input_file_name locate
  make_date monotonically_increasing_id not ntile percent_rank raise_error row_number spark_partition_id unix_timestamp
")

# Those that R has as generics: they need a method, and no generic of this package.
.GENERICS_OF_R <- c("length", "mean", "trunc")
.OF_MATH <- c(
  abs = "abs", sign = "signum", sqrt = "sqrt", floor = "floor", ceiling = "ceil", exp = "exp", log = "ln",
  expm1 = "expm1", log1p = "log1p", log10 = "log10", log2 = "log2", cos = "cos", sin = "sin", tan = "tan", acos = "acos",
  asin = "asin", atan = "atan", cosh = "cosh", sinh = "sinh", tanh = "tanh", acosh = "acosh", asinh = "asinh",
  atanh = "atanh"
)
.OF_SUMMARY <- c(max = "max", min = "min", sum = "sum")

.sql_function <- function(name) {
  force(name)
  function(x, ...) .sql(name, x, ...)
}

.sql_names <- c(stats::setNames(.OF_COLUMN, .OF_COLUMN), .OTHER_NAMES)
for (.name in names(.sql_names)) {
  .method(.name, "Column", .sql_function(.sql_names[[.name]]))
  if (!is.element(.name, .GENERICS_OF_R)) assign(.name, .generic(.name))
}
for (.name in .OF_ANYTHING) assign(.name, local({ name <- .name; function(...) .sql(name, ...) }))

.of_group <- function(names, generic, x, ...) {
  if (!is.element(generic, names(names))) stop("Columns have no ", generic, "().", call. = FALSE)
  .sql(names[[generic]], x, ...)
}
.method("Math", "Column", function(x, ...) {
  if (.Generic == "round") .sql("round", x, if (...length()) ..1 else 0L) else .of_group(.OF_MATH, .Generic, x)
})
.method("Summary", "Column", function(x, ..., na.rm = FALSE) .of_group(.OF_SUMMARY, .Generic, x))

# Those whose arguments have defaults in SparkR that they have not in SQL, or other names.
.offset <- function(name) {
  force(name)
  function(x, offset = 1, defaultValue = NULL, ...) .sql(name, x, offset, defaultValue)
}
.method("lag", "Column", .offset("lag"))
lead <- .generic("lead")
.method("lead", "Column", .offset("lead"))
first <- .generic("first")
last <- .generic("last")
.method("first", "Column", function(x, na.rm = FALSE, ...) .sql("first", x, na.rm))
.method("last", "Column", function(x, na.rm = FALSE, ...) .sql("last", x, na.rm))
sort_array <- .generic("sort_array")
.method("sort_array", "Column", function(x, asc = TRUE, ...) .sql("sort_array", x, asc))
split_string <- .generic("split_string")
.method("split_string", "Column", function(x, pattern, limit = -1, ...) .sql("split", x, pattern, limit))
.method("from_unixtime", "Column", function(x, format = "yyyy-MM-dd HH:mm:ss", ...) .sql("from_unixtime", x, format))
.method("window", "Column", function(x, windowDuration, slideDuration = windowDuration, startTime = "0 seconds", ...) {
  .column(.static(.FUNCTIONS, "window", x, windowDuration, slideDuration, startTime))
})

# A row's place among its peers; of an R vector, R's own.
rank <- function(x, ...) if (missing(x)) .sql("rank") else base::rank(x, ...)

# Columns, or the columns of these names, as one column.
struct <- function(x, ...) do.call(.sql, c("struct", lapply(list(x, ...), column)))

# How many different values, or combinations of them.
countDistinct <- function(x, ...) .column(.static(.FUNCTIONS, "count_distinct", x, list(...)))
n_distinct <- countDistinct

# The sum of the different values.
sum_distinct <- function(x) .column(.static(.FUNCTIONS, "sum_distinct", x))
sumDistinct <- sum_distinct

# Random numbers: uniform from 0 to 1, and normal.
.random <- function(name) {
  force(name)
  function(seed) .column(if (missing(seed)) .static(.FUNCTIONS, name) else .static(.FUNCTIONS, name, as.integer(seed)))
}
rand <- .random("rand")
randn <- .random("randn")
