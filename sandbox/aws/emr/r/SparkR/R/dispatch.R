# How this package's functions share names with those of R: each is an S3 generic, whose default is R's own function where
# there is one. The methods are registered when the package is loaded (load.R).

setOldClass("jobj")
setClass("SparkDataFrame", slots = c(sdf = "jobj"))
setClass("Column", slots = c(jc = "jobj"))
setClass("GroupedData", slots = c(sgd = "jobj"))
setClass("WindowSpec", slots = c(sws = "jobj"))

.frame <- function(sdf) new("SparkDataFrame", sdf = sdf)
.column <- function(jc) new("Column", jc = jc)
.grouped <- function(sgd) new("GroupedData", sgd = sgd)
.window <- function(sws) new("WindowSpec", sws = sws)

.is_column <- function(value) inherits(value, "Column")

.methods <- list()

# Notes the method of `generics` for a class.
.method <- function(generics, class, body) {
  for (generic in generics) .methods[[paste(generic, class)]] <<- list(generic = generic, class = class, body = body)
}

.PACKAGES_OF_R <- c("base", "stats", "utils")

# R's own function of a name, or NULL.
.of_r <- function(name) {
  for (package in .PACKAGES_OF_R) {
    if (exists(name, asNamespace(package), mode = "function", inherits = FALSE)) return(get(name, asNamespace(package)))
  }
  NULL
}

.refusal <- function(name) {
  force(name)
  function(x, ...) stop(name, "() does not take a value of class ", class(x)[1], ".", call. = FALSE)
}

# A generic of that name. What is none of Spark's goes to R's own function, or is refused.
.generic <- function(name) {
  own <- .of_r(name)
  .method(name, "default", if (is.null(own)) .refusal(name) else own)
  eval(substitute(function(x, ...) UseMethod(NAME), list(NAME = name)), topenv())
}
