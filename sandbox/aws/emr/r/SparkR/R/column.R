# Columns: expressions over the rows of a frame, made of other columns and of R's values.

.FUNCTIONS <- "org.apache.spark.sql.functions"

# A literal of one value; a Column stays itself.
lit <- function(x) if (.is_column(x)) x else .column(.static(.FUNCTIONS, "lit", x))

# The column of that name, in whichever frame it is used.
column <- function(x) if (.is_column(x)) x else .column(.static(.FUNCTIONS, "col", x))
col <- .generic("col")
.method("col", "character", column)
.method("col", "Column", column)

# An expression of SQL.
expr <- function(x) .column(.static(.FUNCTIONS, "expr", x))

.on_column <- function(x, method, ...) .column(.java(x@jc, method, ...))

.OPERATORS <- c(
  "+" = "plus", "-" = "minus", "*" = "multiply", "/" = "divide", "%%" = "mod",
  "==" = "equalTo", "!=" = "notEqual", ">" = "gt", ">=" = "geq", "<" = "lt", "<=" = "leq",
  "&" = "and", "|" = "or", "^" = "pow"
)

.operate <- function(operator, left, right) {
  method <- .OPERATORS[operator]
  if (is.na(method)) stop("Columns have no operator ", operator, ".", call. = FALSE)
  if (method == "pow") return(.sql("power", left, right))
  .on_column(lit(left), method, lit(right))
}

setMethod("Ops", signature("Column", "Column"), function(e1, e2) .operate(.Generic, e1, e2))
setMethod("Ops", signature("Column", "ANY"), function(e1, e2) .operate(.Generic, e1, e2))
setMethod("Ops", signature("ANY", "Column"), function(e1, e2) .operate(.Generic, e1, e2))
setMethod("Arith", signature("Column", "missing"), function(e1, e2) if (.Generic == "-") .sql("negative", e1) else e1)
setMethod("!", "Column", function(x) .sql("not", x))
setMethod("show", "Column", function(object) cat("Column", .java(object@jc, "toString"), "\n"))

# Equality by which NULL equals NULL.
eqNullSafe <- function(x, value) .on_column(x, "eqNullSafe", lit(value))
`%<=>%` <- eqNullSafe

`%in%` <- .generic("%in%")
.method("%in%", "Column", function(x, table) .on_column(x, "isin", as.list(table)))

# Methods of Spark's Column that take none but the column, and those that take one value.
.COLUMN_ALONE <- c(
  "isNull", "isNotNull", "asc", "asc_nulls_first", "asc_nulls_last", "desc", "desc_nulls_first", "desc_nulls_last"
)
.COLUMN_AND_VALUE <- c("like", "rlike", "ilike", "contains", "startsWith", "endsWith", "getItem", "getField")

for (.name in c(.COLUMN_ALONE, .COLUMN_AND_VALUE)) assign(.name, .generic(.name))
for (.name in .COLUMN_ALONE) {
  .method(.name, "Column", local({ method <- .name; function(x, ...) .on_column(x, method) }))
}
for (.name in .COLUMN_AND_VALUE) {
  .method(.name, "Column", local({ method <- .name; function(x, value, ...) .on_column(x, method, value) }))
}
.method(c("asc", "desc"), "character", function(x, ...) stop("Name a Column, such as df$", x, ".", call. = FALSE))

.method("$", "Column", function(x, name) .on_column(x, "getField", name))

# The column under another name; of a generator, under several.
alias <- .generic("alias")
.method("alias", "Column", function(object, ...) {
  names <- c(...)
  if (length(names) == 1L) .on_column(object, "alias", names) else .on_column(object, "as", .array(names))
})

# The column as another type, such as "integer" or "decimal(10,2)".
cast <- .generic("cast")
.method("cast", "Column", function(x, dataType) .on_column(x, "cast", .sql_type(dataType)))

# Whether the column is from the first to the second of two bounds.
between <- .generic("between")
.method("between", "Column", function(x, bounds) {
  if (length(bounds) != 2L) stop("between() takes two bounds.", call. = FALSE)
  .on_column(x, "between", bounds[[1]], bounds[[2]])
})

# The characters from `start` to `stop`, the first one being 1.
substr <- .generic("substr")
.method("substr", "Column", function(x, start, stop) {
  .on_column(x, "substr", as.integer(start), as.integer(stop - start + 1))
})

# when(condition, value) of many branches, and otherwise() for the rest.
when <- .generic("when")
.method("when", "Column", function(condition, value) .column(.static(.FUNCTIONS, "when", condition, .literal(value))))
.method("when", "default", .refusal("when"))
otherwise <- .generic("otherwise")
.method("otherwise", "Column", function(x, value) .on_column(x, "otherwise", .literal(value)))
ifelse <- .generic("ifelse")
.method("ifelse", "Column", function(test, yes, no) otherwise(when(test, yes), no))

.literal <- function(value) if (.is_column(value)) value else lit(value)

# A struct with one field more, and with some fewer.
withField <- function(x, fieldName, col) .on_column(x, "withField", fieldName, lit(col))
dropFields <- function(x, ...) .on_column(x, "dropFields", as.list(c(...)))

# A column's place among the window's rows.
over <- function(x, window) .on_column(x, "over", window)
