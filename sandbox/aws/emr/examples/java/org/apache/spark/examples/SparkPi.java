package org.apache.spark.examples;

import java.util.ArrayList;
import java.util.List;
import java.util.SplittableRandom;
import org.apache.spark.api.java.JavaSparkContext;
import org.apache.spark.sql.SparkSession;

/**
 * Estimates pi by throwing darts at a square, on as many partitions as the first argument says.
 *
 * The pyspark package has no examples' jar; this is the sandbox's own program under the well-known name.
 */
public final class SparkPi {
  private static final int DARTS_PER_SLICE = 100_000;

  private SparkPi() {}

  public static void main(String[] arguments) {
    int slices = arguments.length > 0 ? Integer.parseInt(arguments[0]) : 2;
    SparkSession session = SparkSession.builder().appName("Spark Pi").getOrCreate();
    JavaSparkContext context = JavaSparkContext.fromSparkContext(session.sparkContext());
    List<Integer> seeds = new ArrayList<>();
    for (int slice = 0; slice < slices; slice++) {
      seeds.add(slice);
    }
    long inside = context.parallelize(seeds, slices).map(SparkPi::hits).reduce(Long::sum);
    System.out.println("Pi is roughly " + 4.0 * inside / ((long) slices * DARTS_PER_SLICE));
    session.stop();
  }

  private static long hits(int seed) {
    SplittableRandom random = new SplittableRandom(seed);
    long count = 0;
    for (int dart = 0; dart < DARTS_PER_SLICE; dart++) {
      double x = random.nextDouble();
      double y = random.nextDouble();
      if (x * x + y * y <= 1) {
        count++;
      }
    }
    return count;
  }
}
