# The Spark session and its settings.

.SQL_UTILS <- "org.apache.spark.sql.api.r.SQLUtils"
.RRDD <- "org.apache.spark.api.r.RRDD"

.session <- function() {
  if (is.null(.backend$session)) stop("There is no Spark session: call sparkR.session() first.", call. = FALSE)
  .backend$session
}

.context <- function() {
  .session()
  .backend$context
}

.as_text <- function(value) if (is.logical(value)) tolower(as.character(value)) else format(value, scientific = FALSE)

# The session, begun or, where there is one, with these settings added. The program's name wins over the submission's, as
# the master's does. Hive's catalogue is taken where spark.sql.catalogImplementation says so, and not by default.
sparkR.session <- function(master = "", appName = "SparkR", sparkHome = Sys.getenv("SPARK_HOME"), sparkConfig = list(),
                           sparkJars = "", sparkPackages = "", enableHiveSupport = TRUE, ...) {
  settings <- lapply(utils::modifyList(as.list(sparkConfig), list(...)), .as_text)
  if (any(nzchar(sparkPackages))) {
    warning("sparkPackages comes too late for a program under spark-submit: set spark.jars.packages.", call. = FALSE)
  }
  if (is.null(.backend$session)) {
    if (is.null(settings[["spark.app.name"]])) settings[["spark.app.name"]] <- appName
    if (is.null(settings[["spark.master"]]) && nzchar(master)) settings[["spark.master"]] <- master
    .begin(settings, sparkHome, sparkJars)
  }
  hive <- enableHiveSupport && .java(.java(.backend$context, "getConf"), "get", .CATALOG, "") == "hive"
  .backend$session <- .static(.SQL_UTILS, "getOrCreateSparkSession", .backend$context, .map(settings), hive)
  .backend$session
}

.CATALOG <- "spark.sql.catalogImplementation"

.begin <- function(settings, home, jars) {
  master <- if (is.null(settings[["spark.master"]])) "" else settings[["spark.master"]]
  jars <- trimws(unlist(strsplit(jars, ",", fixed = TRUE)))
  jars <- .array(as.character(jars[nzchar(jars)]))
  name <- settings[["spark.app.name"]]
  .backend$context <- .static(.RRDD, "createSparkContext", master, name, home, jars, .map(settings), .map(list()))
}

# Ends the session and Spark's context; another session may begin.
sparkR.session.stop <- function() {
  if (!is.null(.backend$context)) .java(.backend$context, "stop")
  .backend$session <- .backend$context <- NULL
  invisible(NULL)
}
sparkR.stop <- sparkR.session.stop

# All settings of the session as a list, or that of one key; an absent one without a default is an error.
sparkR.conf <- function(key, defaultValue) {
  settings <- as.list(.static(.SQL_UTILS, "getSessionConf", .session()))
  if (missing(key)) return(settings[order(names(settings))])
  value <- settings[[key]]
  if (is.null(value) && missing(defaultValue)) stop("Config '", key, "' is not set", call. = FALSE)
  stats::setNames(list(if (is.null(value)) defaultValue else value), key)
}

# Spark's version.
sparkR.version <- function() .java(.session(), "version")

# The address of Spark's own page, or NULL without one.
sparkR.uiWebUrl <- function() {
  address <- .java(.java(.context(), "sc"), "uiWebUrl")
  if (.java(address, "isDefined")) .java(address, "get")
}

.on_context <- function(method) {
  force(method)
  function(...) invisible(.java(.context(), method, ...))
}

# Of Spark's context: the level of its log, groups and properties of the jobs that follow, and where checkpoints go.
setLogLevel <- .on_context("setLogLevel")
setJobGroup <- .on_context("setJobGroup")
clearJobGroup <- .on_context("clearJobGroup")
cancelJobGroup <- .on_context("cancelJobGroup")
setJobDescription <- .on_context("setJobDescription")
setLocalProperty <- .on_context("setLocalProperty")
getLocalProperty <- function(key) .java(.context(), "getLocalProperty", key)
setCheckpointDir <- .on_context("setCheckpointDir")
setCheckpointDirSC <- function(sc, dirName) setCheckpointDir(dirName)

# A file for every node, and where it is found.
spark.addFile <- function(path, recursive = FALSE) invisible(.java(.context(), "addFile", path, recursive))
spark.getSparkFiles <- function(fileName) .static("org.apache.spark.SparkFiles", "get", fileName)
spark.getSparkFilesRootDirectory <- function() .static("org.apache.spark.SparkFiles", "getRootDirectory")

.method("print", "jobj", function(x, ...) {
  class <- .java(.java(x, "getClass"), "getName")
  cat("Java ref type", class, "id", x$id, "\n")
  invisible(x)
})
