# Two frames, or several, as one.

# `joinExpr` is a Column over both frames; without one each row meets each.
join <- .generic("join")
.method("join", "SparkDataFrame", function(x, y, joinExpr = NULL, joinType = "inner") {
  if (is.null(joinExpr)) return(crossJoin(x, y))
  if (!.is_column(joinExpr)) stop("join() takes a Column that says which rows meet; merge() takes names.", call. = FALSE)
  .on_frame(x, "join", y, joinExpr, joinType)
})
crossJoin <- function(x, y) .on_frame(x, "crossJoin", y)

.merged_type <- function(all.x, all.y) {
  if (all.x && all.y) "outer" else if (all.x) "left_outer" else if (all.y) "right_outer" else "inner"
}

.suffixed <- function(frame, names, suffix) {
  for (name in names) frame <- withColumnRenamed(frame, name, paste0(name, suffix))
  frame
}

# As R's merge, but for the names that both have: each gets its frame's suffix, those merged by as well.
.method("merge", "SparkDataFrame", function(x, y, by = NULL, by.x = by, by.y = by, all = FALSE, all.x = all, all.y = all,
                                            sort = TRUE, suffixes = c("_x", "_y"), ...) {
  shared <- base::intersect(columns(x), columns(y))
  if (missing(by) && is.null(by.x) && is.null(by.y)) by.x <- by.y <- shared
  if (length(by.x) != length(by.y)) stop("by.x and by.y are not of one length.", call. = FALSE)
  left <- .suffixed(x, shared, suffixes[1])
  right <- .suffixed(y, shared, suffixes[2])
  if (!length(by.x)) return(crossJoin(left, right))
  name <- function(name, suffix) base::ifelse(is.element(name, shared), paste0(name, suffix), name)
  keys <- Map(function(a, b) left[[a]] == right[[b]], name(by.x, suffixes[1]), name(by.y, suffixes[2]))
  joined <- join(left, right, Reduce(`&`, keys), .merged_type(all.x, all.y))
  if (sort) arrange(joined, name(by.x, suffixes[1])) else joined
})

.of_two <- function(name, java) {
  force(java)
  generic <- .generic(name)
  .method(name, "SparkDataFrame", function(x, y, ...) .on_frame(x, java, y))
  generic
}
union <- .of_two("union", "union")
unionAll <- .of_two("unionAll", "union")
intersect <- .of_two("intersect", "intersect")
intersectAll <- .of_two("intersectAll", "intersectAll")
except <- .of_two("except", "except")
exceptAll <- .of_two("exceptAll", "exceptAll")

# By the columns' names; with `allowMissingColumns` absent ones are null.
unionByName <- function(x, y, allowMissingColumns = FALSE) .on_frame(x, "unionByName", y, allowMissingColumns)
.method("rbind", "SparkDataFrame", function(..., deparse.level = 1) Reduce(union, list(...)))
