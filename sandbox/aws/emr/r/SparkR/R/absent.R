# What SparkR has and this package has not: a call says so.

.ABSENT <- list(
  "functions of R on executors" = "
    dapply dapplyCollect gapply gapplyCollect spark.lapply array_transform array_filter array_exists array_forall
    array_aggregate transform_keys transform_values map_filter map_zip_with arrays_zip_with",
  "MLlib" = "
    spark.als spark.bisectingKmeans spark.decisionTree spark.fmClassifier spark.fmRegressor spark.freqItemsets
    spark.associationRules spark.fpGrowth spark.gaussianMixture spark.gbt spark.glm spark.isoreg spark.kmeans
    spark.kstest spark.lda spark.lm spark.logit spark.mlp spark.naiveBayes spark.perplexity spark.posterior
    spark.assignClusters spark.findFrequentSequentialPatterns spark.randomForest spark.survreg spark.svmLinear read.ml
    write.ml",
  "streams" = "
    read.stream write.stream awaitTermination isActive lastProgress queryName status stopQuery withWatermark",
  "histograms" = "histogram",
  "interfaces that Spark 3 removed" = "sparkR.init sparkRSQL.init sparkRHive.init"
)

.absent <- function(name, what) {
  force(name)
  force(what)
  function(...) stop(name, "() belongs to ", what, ", which this sandbox's SparkR has not.", call. = FALSE)
}

for (.what in names(.ABSENT)) for (.name in .words(.ABSENT[[.what]])) assign(.name, .absent(.name, .what))
