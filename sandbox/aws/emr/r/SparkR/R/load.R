.onLoad <- function(libname, pkgname) {
  for (one in .methods) registerS3method(one$generic, one$class, one$body, envir = topenv())
}

.onAttach <- function(libname, pkgname) {
  packageStartupMessage(
    "This is the sandbox's own SparkR: frames, columns and SQL, without functions on executors, MLlib and streams."
  )
}
