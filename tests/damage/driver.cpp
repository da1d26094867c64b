//===- driver.cpp - compiles many files, each in a process of its own -----===//
//
// Reads lines "STAGE ENTRIES DIM FILE" from stdin and prints "FILE exit N" or
// "FILE signal N" for each; what the compiler says goes to FILE.txt. STAGE is a
// number of `Stage`, DIM is NAME=SIZE, as --dim has it, or "-". Another line
// ends it with status 2, before a file is written in a wrong place. A fork of
// this process starts in a millisecond, the tool takes a hundred times that.
// A child may take 20 s and 4 GB, as the limits of the tests are.
//
//   damage-driver JOBS < list
//
//===----------------------------------------------------------------------===//
#include "compiler/Compiler.h"
#include <csignal>
#include <cstdio>
#include <cstdlib>
#include <fcntl.h>
#include <fstream>
#include <iostream>
#include <map>
#include <sstream>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

namespace {

constexpr rlim_t seconds = 20, bytes = rlim_t(4) << 30;

struct Try {
  int stage;
  std::string entries, dim, file;
};

void limit(int what, rlim_t value) {
  rlimit both{value, value};
  setrlimit(what, &both);
}

[[noreturn]] void compile(const Try &one) {
  limit(RLIMIT_CPU, seconds);
  limit(RLIMIT_AS, bytes);
  limit(RLIMIT_CORE, 0);
  alarm(10 * seconds); // waits that take no time of the processor
  int log =
      open((one.file + ".txt").c_str(), O_CREAT | O_TRUNC | O_WRONLY, 0644);
  dup2(log, 1);
  dup2(log, 2);
  std::ifstream in(one.file, std::ios::binary);
  std::string text((std::istreambuf_iterator<char>(in)), {});
  nncc::CompileOptions options;
  options.threads = 1;
  options.entries.clear();
  std::istringstream names(one.entries);
  for (std::string name; std::getline(names, name, ',');)
    options.entries.push_back(name);
  if (size_t at = one.dim.find('='); at != std::string::npos)
    options.dims[one.dim.substr(0, at)] = {atoll(one.dim.c_str() + at + 1)};
  if (nncc::Stage(one.stage) == nncc::Stage::ptx)
    options.target = "cuda:sm_80";
  nncc::CompileResult result =
      nncc::compileModel("m.json", text, options, nncc::Stage(one.stage));
  fwrite(result.messages.data(), 1, result.messages.size(), stderr);
  _exit(int(result.status));
}

} // namespace

int main(int argc, char **argv) {
  size_t jobs = argc > 1 ? size_t(atoi(argv[1])) : 2;
  std::map<pid_t, std::string> running;
  auto collect = [&] {
    int status;
    pid_t child = wait(&status);
    printf("%s %s %d\n", running[child].c_str(),
           WIFEXITED(status) ? "exit" : "signal",
           WIFEXITED(status) ? WEXITSTATUS(status) : WTERMSIG(status));
    running.erase(child);
  };
  for (std::string line; std::getline(std::cin, line);) {
    Try one;
    std::istringstream words(line);
    std::string more;
    if (!(words >> one.stage >> one.entries >> one.dim >> one.file) ||
        words >> more) {
      fprintf(stderr, "damage-driver: not STAGE ENTRIES DIM FILE: %s\n",
              line.c_str());
      return 2;
    }
    if (running.size() == jobs)
      collect();
    fflush(stdout);
    pid_t child = fork();
    if (child == 0)
      compile(one);
    running[child] = one.file;
  }
  while (!running.empty())
    collect();
}
