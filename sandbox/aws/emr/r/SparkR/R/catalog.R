# Tables, views and databases.

.catalog <- function() .java(.session(), "catalog")

# The frame under a name that SQL finds in this session.
createOrReplaceTempView <- function(x, viewName) invisible(.java(x@sdf, "createOrReplaceTempView", viewName))
registerTempTable <- createOrReplaceTempView
dropTempView <- function(viewName) .java(.catalog(), "dropTempView", viewName)

tableToDF <- function(tableName) .frame(.java(.session(), "table", tableName))
tables <- function(databaseName = NULL) {
  sql(if (is.null(databaseName)) "SHOW TABLES" else paste("SHOW TABLES IN", .quoted(databaseName)))
}
tableNames <- function(databaseName = NULL) {
  if (is.null(databaseName)) databaseName <- currentDatabase()
  unlist(.static(.SQL_UTILS, "getTableNames", .session(), databaseName))
}

.listing <- function(method) {
  force(method)
  function(...) .frame(.java(.java(.catalog(), method, ...), "toDF"))
}
listTables <- .listing("listTables")
listDatabases <- .listing("listDatabases")
listColumns <- .listing("listColumns")
listFunctions <- .listing("listFunctions")
listCatalogs <- .listing("listCatalogs")

.of_catalog <- function(method) {
  force(method)
  function(...) .java(.catalog(), method, ...)
}
currentDatabase <- .of_catalog("currentDatabase")
setCurrentDatabase <- function(databaseName) invisible(.java(.catalog(), "setCurrentDatabase", databaseName))
currentCatalog <- .of_catalog("currentCatalog")
tableExists <- .of_catalog("tableExists")
databaseExists <- .of_catalog("databaseExists")
cacheTable <- function(tableName) invisible(.java(.catalog(), "cacheTable", tableName))
uncacheTable <- function(tableName) invisible(.java(.catalog(), "uncacheTable", tableName))
clearCache <- function() invisible(.java(.catalog(), "clearCache"))
refreshTable <- function(tableName) invisible(.java(.catalog(), "refreshTable", tableName))
refreshByPath <- function(path) invisible(.java(.catalog(), "refreshByPath", path))
recoverPartitions <- function(tableName) invisible(.java(.catalog(), "recoverPartitions", tableName))
