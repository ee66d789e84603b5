# Schemas: structType and structField, and what Spark's types are in R.

# R's names for types where Spark's parser has others.
.TYPES_OF_R <- c(character = "string", numeric = "double", logical = "boolean", raw = "binary")

.sql_type <- function(type) if (is.element(type, names(.TYPES_OF_R))) .TYPES_OF_R[[type]] else type

.STRUCT_TYPE <- "org.apache.spark.sql.types.StructType"

# A column of a schema. `type` is Spark's simple name for it ("bigint", "array<string>") or R's ("character").
structField <- function(x, type, nullable = TRUE) {
  .struct_field(.static(.SQL_UTILS, "createStructField", x, .sql_type(type), nullable))
}

.struct_field <- function(jobj) {
  type <- function() .java(jobj, "dataType")
  structure(list(
    jobj = jobj,
    name = function() .java(jobj, "name"),
    dataType = type,
    dataType.toString = function() .java(type(), "toString"),
    dataType.simpleString = function() .java(type(), "simpleString"),
    nullable = function() .java(jobj, "nullable")
  ), class = "structField")
}

# A schema, of structFields or of DDL text such as "name STRING, age INT".
structType <- function(x, ...) {
  if (is.character(x)) return(.struct_type(.static(.STRUCT_TYPE, "fromDDL", x)))
  .struct_type(.static(.SQL_UTILS, "createStructType", list(x, ...)))
}

.struct_type <- function(jobj) {
  fields <- function() lapply(.java(jobj, "fields"), .struct_field)
  structure(list(jobj = jobj, fields = fields), class = "structType")
}

.field_text <- function(field) {
  sprintf('name = "%s", type = "%s", nullable = %s', field$name(), field$dataType.toString(), field$nullable())
}

.method("print", "structField", function(x, ...) cat("StructField(", .field_text(x), ")\n", sep = ""))
.method("print", "structType", function(x, ...) {
  lines <- vapply(x$fields(), .field_text, "")
  cat("StructType\n", paste0("|-", lines, "\n"), sep = "")
})

# What a column of each of Spark's simple types becomes in R; those of other types become lists.
.VECTORS <- list(
  tinyint = integer(), smallint = integer(), int = integer(), bigint = double(), float = double(), double = double(),
  decimal = double(), boolean = logical(), string = character(), char = character(), varchar = character(),
  date = structure(double(), class = "Date"), timestamp = .POSIXct(double())
)

.vector_of <- function(type) .VECTORS[[sub("\\(.*", "", type)]]
