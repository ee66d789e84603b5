# Groups of rows, and what is said of each.

.grouping <- function(method) {
  force(method)
  function(x, ...) .grouped(.java(x@sdf, method, .columns(x, ...)))
}
groupBy <- .generic("groupBy")
.method("groupBy", "SparkDataFrame", .grouping("groupBy"))
group_by <- .generic("group_by")
.method("group_by", "SparkDataFrame", .grouping("groupBy"))
rollup <- .grouping("rollup")
cube <- .grouping("cube")

# The columns of an agg(): each a Column, under the name of its argument, or as column = "function".
.aggregates <- function(...) {
  given <- list(...)
  names <- if (is.null(names(given))) rep("", length(given)) else names(given)
  unname(Map(function(one, name) {
    if (!.is_column(one)) return(.sql(one, if (name == "*") 1L else column(name)))
    if (nzchar(name)) alias(one, name) else one
  }, given, names))
}

# One row for each group, or one for the whole frame.
agg <- .generic("agg")
.method("agg", "GroupedData", function(x, ...) {
  aggregates <- .aggregates(...)
  if (!length(aggregates)) stop("agg() takes at least one aggregate.", call. = FALSE)
  .frame(.java(x@sgd, "agg", aggregates[[1]], aggregates[-1]))
})
.method("agg", "SparkDataFrame", function(x, ...) agg(groupBy(x), ...))
summarize <- .generic("summarize")
for (.name in c("SparkDataFrame", "GroupedData")) .method("summarize", .name, function(x, ...) agg(x, ...))
summarise <- summarize

.method("count", "GroupedData", function(x) .frame(.java(x@sgd, "count")))
for (.name in c("avg", "mean", "max", "min", "sum")) {
  .method(.name, "GroupedData", local({
    method <- .name
    function(x, ..., na.rm = FALSE) .frame(.java(x@sgd, method, .array(as.character(c(...)))))
  }))
}

# A column for each value of one, or for these values.
pivot <- function(x, colname, values = list()) {
  sgd <- if (length(values)) .java(x@sgd, "pivot", colname, as.list(values)) else .java(x@sgd, "pivot", colname)
  .grouped(sgd)
}

setMethod("show", "GroupedData", function(object) cat("GroupedData\n"))
