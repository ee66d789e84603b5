# Read by every R that Spark's RRunner starts: where `library(SparkR)` finds this package.
.libPaths(c(strsplit(Sys.getenv("SPARKR_PACKAGE_DIR"), ",", fixed = TRUE)[[1]], .libPaths()))
