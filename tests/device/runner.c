/* runner.c - all cases, each in a process of its own.
 *
 * A kernel that faults ends CUDA for its process, and one that hangs ends
 * nothing: so a case that goes wrong costs itself alone.
 *
 *   runner NUMBERS facts|check|time [--json FILE] [--limit SECONDS]
 *          [--case-limit SECONDS] [--jobs N] [--only NAME,...] [--small]
 *          [--part K/N] [--here]
 *
 * --here runs all in this process, for tools that watch one; --part takes each
 * N-th case from the K-th on, so that several such processes share the work.
 */
#include "device.h"
#include <errno.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

enum { most_jobs = 16, most_cases = 4096 };

static struct {
  const char *json, *only;
  int only_small, is_time, is_facts, is_here;
  int part, parts;
  double limit, case_limit; /* seconds, of all and of one */
  int jobs;
} options = {.parts = 1, .limit = 1e9, .case_limit = 60, .jobs = 1};

/* A case that runs, or 0. */
static struct {
  pid_t process;
  int number;
  double start;
  FILE *out, *text;
} jobs[most_jobs];

static int totals[case_unknown + 1];
static FILE *json;

static double now(void) {
  struct timespec t;
  clock_gettime(CLOCK_MONOTONIC, &t);
  return (double)t.tv_sec + (double)t.tv_nsec * 1e-9;
}

static const char *name_of(int number) {
  return options.is_facts ? "device" : device_cases[number].name;
}

static bool is_wanted(const device_case *c) {
  if ((options.only_small && !c->is_small) || (options.is_time && !c->is_timed))
    return false;
  size_t length = strlen(c->name);
  for (const char *at = options.only; at; at = strchr(at, ',')) {
    at += *at == ',';
    if (!strncmp(at, c->name, length) && (!at[length] || at[length] == ','))
      return true;
  }
  return !options.only;
}

static int run_one(int number, FILE *out, FILE *text) {
  const device_case *c = &device_cases[number];
  return options.is_facts  ? print_facts(out, text)
         : options.is_time ? time_case(c, out, text)
                           : check_case(c, out, text);
}

static void copy(FILE *from, FILE *to) {
  char buffer[4096];
  size_t n;
  rewind(from);
  while ((n = fread(buffer, 1, sizeof buffer, from)))
    fwrite(buffer, 1, n, to);
  fclose(from);
}

/* What a process left; `is_late`: it was stopped. */
static void finish(int job, int status, bool is_late) {
  static const char *const words[] = {"same", "differs", "failed", "unknown"};
  int code = WIFEXITED(status) ? WEXITSTATUS(status) : case_unknown;
  const char *name = name_of(jobs[job].number);
  code = code > case_unknown ? case_unknown : code;
  ++totals[code];
  double seconds = now() - jobs[job].start;
  static const char *separator = "";
  fprintf(json, "%s\n{\"case\": \"%s\", \"result\": \"%s\", \"seconds\": %.2f",
          separator, name, words[code], seconds);
  separator = ",";
  if (code == case_unknown) {
    fprintf(json, ", \"signal\": %d, \"stopped\": %s",
            WIFSIGNALED(status) ? WTERMSIG(status) : 0,
            is_late ? "true" : "false");
    if (is_late)
      printf("  %s: stopped after %.0f s\n", name, seconds);
    else
      printf("  %s: ended by %s\n", name,
             WIFEXITED(status) ? "itself" : strsignal(WTERMSIG(status)));
    fclose(jobs[job].out);
  } else {
    fputs(", ", json);
    copy(jobs[job].out, json);
  }
  fputs("}", json);
  copy(jobs[job].text, stdout);
  fflush(stdout);
  fflush(json);
  jobs[job].process = 0;
}

static void begin(int job, int number) {
  jobs[job].number = number;
  jobs[job].start = now();
  jobs[job].out = tmpfile();
  jobs[job].text = tmpfile();
  fflush(NULL);
  if (options.is_here) {
    int code = run_one(number, jobs[job].out, jobs[job].text);
    return finish(job, W_EXITCODE(code, 0), false);
  }
  jobs[job].process = fork();
  if (jobs[job].process)
    return;
  int code = run_one(number, jobs[job].out, jobs[job].text);
  fflush(NULL);
  _exit(code);
}

/* Waits a little; ends what takes too long. */
static void look(double end) {
  for (int job = 0; job < most_jobs; ++job) {
    int status;
    if (!jobs[job].process)
      continue;
    if (waitpid(jobs[job].process, &status, WNOHANG) > 0) {
      finish(job, status, false);
    } else if (now() > end || now() - jobs[job].start > options.case_limit) {
      kill(jobs[job].process, SIGKILL);
      waitpid(jobs[job].process, &status, 0);
      finish(job, status, true);
    }
  }
  nanosleep(&(struct timespec){0, 2000000}, NULL);
}

static int unused_job(void) {
  for (int job = 0; job < options.jobs; ++job)
    if (!jobs[job].process)
      return job;
  return -1;
}

static bool is_busy(void) {
  for (int job = 0; job < most_jobs; ++job)
    if (jobs[job].process)
      return true;
  return false;
}

static int run_all(const int *numbers, int count) {
  double start = now(), end = start + options.limit;
  int next = 0;
  while ((next < count && now() < end) || is_busy()) {
    int job = next < count && now() < end ? unused_job() : -1;
    if (job >= 0)
      begin(job, numbers[next++]);
    else
      look(end);
  }
  int bad = count - totals[case_same];
  if (options.is_facts)
    return bad != 0;
  printf("%s: %d %s: %d %s", device_images, count,
         count == 1 ? "case" : "cases", totals[case_same],
         options.is_time ? "timed" : "with the expected bits");
  if (totals[case_differs])
    printf(", %d differ", totals[case_differs]);
  if (totals[case_failed])
    printf(", %d failed", totals[case_failed]);
  if (totals[case_unknown])
    printf(", %d crashed or were stopped", totals[case_unknown]);
  if (next < count)
    printf(", %d did not run", count - next);
  printf("; %.1f s\n", now() - start);
  return bad != 0;
}

static int usage(const char *problem) {
  fprintf(stderr,
          "%s\nusage: runner NUMBERS facts|check|time [--json FILE] [--limit "
          "SECONDS] [--case-limit SECONDS] [--jobs N] [--only NAME,...] "
          "[--small] [--part K/N] [--here]\n",
          problem);
  return 2;
}

static bool take_flag(const char *flag, const char *value) {
  if (!strcmp(flag, "--json"))
    options.json = value;
  else if (!strcmp(flag, "--only"))
    options.only = value;
  else if (!strcmp(flag, "--limit"))
    options.limit = atof(value);
  else if (!strcmp(flag, "--case-limit"))
    options.case_limit = atof(value);
  else if (!strcmp(flag, "--jobs"))
    options.jobs = atoi(value);
  else if (!strcmp(flag, "--part"))
    return sscanf(value, "%d/%d", &options.part, &options.parts) == 2 &&
           options.part >= 0 && options.part < options.parts;
  else
    return false;
  return true;
}

int main(int argc, char **argv) {
  static int numbers[most_cases];
  if (argc < 3)
    return usage("runner needs a file and a verb");
  options.is_facts = !strcmp(argv[2], "facts");
  options.is_time = !strcmp(argv[2], "time");
  if (!options.is_facts && !options.is_time && strcmp(argv[2], "check"))
    return usage("the verb is facts, check or time");
  for (int i = 3; i < argc; ++i)
    if (!strcmp(argv[i], "--small"))
      options.only_small = 1;
    else if (!strcmp(argv[i], "--here"))
      options.is_here = 1;
    else if (i + 1 >= argc || !take_flag(argv[i], argv[i + 1]))
      return usage(argv[i]);
    else
      ++i;
  if (options.jobs < 1 || options.jobs > most_jobs)
    return usage("--jobs is from 1 to 16");
  int count = 0, wanted = 0;
  for (int n = 0; n < device_case_count; ++n)
    if ((options.is_facts ? !n : is_wanted(&device_cases[n])) &&
        wanted++ % options.parts == options.part)
      numbers[count++] = n;
  if (!wanted)
    return usage("there is no such case");
  open_numbers(argv[1]);
  json = fopen(options.json ? options.json : "/dev/null", "w");
  if (!json) {
    fprintf(stderr, "cannot write %s: %s\n", options.json, strerror(errno));
    return 2;
  }
  fputs("[", json);
  int code = run_all(numbers, count);
  fputs("\n]\n", json);
  return fclose(json) ? 2 : code;
}
