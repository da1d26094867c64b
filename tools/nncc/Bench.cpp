//===- Bench.cpp - nncc bench ---------------------------------------------===//
#include "Session.h"
#include <algorithm>
#include <chrono>

namespace nncc {

namespace {

struct BenchVerb {
  SessionFlags flags;
  std::vector<uint32_t> threads = {1};
  double seconds = 3;
  bool json = false;

  int run();
};

struct Timing {
  uint32_t threads;
  double median, least, p90; // milliseconds
  size_t runs;
};

/// Warm-up, then at least 10 runs and `seconds`.
int measure(Session &session, double seconds, Timing &timing) {
  using Clock = std::chrono::steady_clock;
  std::vector<double> times;
  for (int i = 0; i < 2; ++i)
    if (int code = session.run())
      return code;
  auto start = Clock::now();
  auto since = [](Clock::time_point from) {
    return std::chrono::duration<double>(Clock::now() - from).count();
  };
  while (times.size() < 10 || since(start) < seconds) {
    auto before = Clock::now();
    if (int code = session.run())
      return code;
    times.push_back(since(before) * 1e3);
  }
  std::sort(times.begin(), times.end());
  timing.runs = times.size();
  timing.least = times.front();
  timing.median = times[times.size() / 2];
  timing.p90 = times[times.size() * 9 / 10];
  return exitDone;
}

int BenchVerb::run() {
  Session session;
  if (int code = session.open(flags))
    return code;
  std::vector<Timing> timings;
  for (uint32_t count : threads) {
    Timing timing = {count, 0, 0, 0, 0};
    if (int code = session.createContext(count))
      return code;
    if (int code = measure(session, seconds, timing))
      return code;
    timings.push_back(timing);
    if (!json)
      printf("%s, %u thread%s: median %.4f ms, min %.4f, p90 %.4f, %zu runs%s\n",
             flags.entry.c_str(), count, count > 1 ? "s" : "", timing.median,
             timing.least, timing.p90, timing.runs,
             timing.p90 > 1.2 * timing.median ? " (noisy)" : "");
  }
  if (!json)
    return exitDone;
  printf("{\"results\": [");
  for (size_t i = 0; i < timings.size(); ++i)
    printf("%s{\"entry\": \"%s\", \"threads\": %u, \"median_ms\": %.6f, "
           "\"min_ms\": %.6f, \"p90_ms\": %.6f, \"runs\": %zu}",
           i ? ", " : "", flags.entry.c_str(), timings[i].threads,
           timings[i].median, timings[i].least, timings[i].p90,
           timings[i].runs);
  printf("]}\n");
  return exitDone;
}

} // namespace

Verb addBench(CLI::App &app) {
  CLI::App *sub = app.add_subcommand("bench", "time an entry");
  auto verb = std::make_shared<BenchVerb>();
  verb->flags.add(*sub);
  sub->add_option("--threads", verb->threads, "numbers of threads: 1,2")
      ->delimiter(',')
      ->check(CLI::Range(1, 1024));
  sub->add_option("--seconds", verb->seconds, "time to measure, at least");
  sub->add_flag("--json", verb->json, "results as JSON on stdout");
  sub->footer("Examples:\n"
              "  nncc bench lenet.json --weights lenet.safetensors --input "
              "x=random:normal --threads 1,2");
  return {sub, [verb] { return verb->run(); }};
}

} // namespace nncc
