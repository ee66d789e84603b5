# The connection to the driver's JVM, and calls of its methods. Spark's RRunner starts R with the port and the secret of
# its backend in the environment; each call is one message with a length before it, and has one answer.

.backend <- new.env(parent = emptyenv())
.backend$connection <- NULL
.backend$dropped <- character()

.connection <- function() {
  if (is.null(.backend$connection)) .backend$connection <- .connect()
  .backend$connection
}

.connect <- function() {
  port <- Sys.getenv("EXISTING_SPARKR_BACKEND_PORT")
  if (!nzchar(port)) {
    stop("There is no Spark behind this R: SparkR programs are started by spark-submit.", call. = FALSE)
  }
  timeout <- as.integer(Sys.getenv("SPARKR_BACKEND_CONNECTION_TIMEOUT", "6000"))
  connection <- socketConnection("localhost", as.integer(port), blocking = TRUE, open = "r+b", timeout = timeout)
  writeBin(.text_bytes(Sys.getenv("SPARKR_BACKEND_AUTH_SECRET")), connection)
  if (.read_text(connection) != "ok") stop("Spark's backend for R did not take the secret.", call. = FALSE)
  connection
}

# A reference to an object of the JVM, which is let go there once R has no use for it.
.java_object <- function(id) {
  object <- new.env(parent = emptyenv())
  object$id <- id
  reg.finalizer(object, function(gone) .backend$dropped <- c(.backend$dropped, gone$id))
  structure(object, class = "jobj")
}

.call <- function(static, target, method, arguments) {
  while (length(.backend$dropped)) {
    id <- .backend$dropped[1]
    .backend$dropped <- .backend$dropped[-1]
    .exchange(TRUE, "SparkRHandler", "rm", list(id))
  }
  .exchange(static, target, method, arguments)
}

.ALIVE <- 1L # sent now and then while a call takes long

.exchange <- function(static, target, method, arguments) {
  connection <- .connection()
  message <- c(.int_bytes(static), .text_bytes(target), .text_bytes(method), .int_bytes(length(arguments)))
  message <- c(message, unlist(lapply(arguments, .encode)))
  writeBin(c(.int_bytes(length(message)), message), connection)
  repeat {
    status <- .read_int(connection)
    if (!length(status)) stop("Spark has gone: its JVM closed the connection.", call. = FALSE)
    if (status != .ALIVE) break
  }
  if (status == 0L) return(.read_object(connection))
  stop(.spark_error(.read_text(connection), method))
}

# An exception of the JVM as an R error: its class and message, without the frames, which Spark's log has.
.spark_error <- function(trace, method) {
  said <- sub("\n\tat .*", "", trace)
  said <- trimws(sub("\nJVM stacktrace:.*", "", said), "right")
  if (!nzchar(said)) said <- paste0("Spark has no ", method, " for what it was called with; its log says more.")
  errorCondition(said, class = "spark_error", call = NULL)
}

.java <- function(object, method, ...) .call(FALSE, object$id, method, list(...))

.static <- function(class, method, ...) .call(TRUE, class, method, list(...))

# A method of an object of the JVM.
sparkR.callJMethod <- function(x, methodName, ...) .java(x, methodName, ...)

# A static method of a class of the JVM.
sparkR.callJStatic <- function(x, methodName, ...) .static(x, methodName, ...)

# A new object of a class of the JVM.
sparkR.newJObject <- function(x, ...) .static(x, "<init>", ...)
