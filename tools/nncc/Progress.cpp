//===- Progress.cpp - a line on the terminal during long work -------------===//
#include "Progress.h"
#include <cstdio>
#include <unistd.h>

namespace nncc {

Progress::Progress()
    : isTerminal(isatty(STDERR_FILENO)),
      start(std::chrono::steady_clock::now()) {}

void Progress::show(const std::string &text) {
  std::chrono::duration<double> time = std::chrono::steady_clock::now() - start;
  if (!isTerminal || time.count() < 0.2)
    return;
  fprintf(stderr, "\r\033[K[%.1f s] %s", time.count(), text.c_str());
  fflush(stderr);
  isShown = true;
}

void Progress::clear() {
  if (isShown)
    fputs("\r\033[K", stderr);
  isShown = false;
}

} // namespace nncc
