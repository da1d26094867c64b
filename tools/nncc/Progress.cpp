//===- Progress.cpp - a line on the terminal during long work -------------===//
#include "Progress.h"
#include "Talk.h"
#include <cstdio>
#include <unistd.h>

namespace nncc {

using namespace std::chrono_literals;

Progress::Progress()
    : isTerminal(isatty(STDERR_FILENO)),
      start(std::chrono::steady_clock::now()) {}

Progress::~Progress() {
  clear();
  {
    std::lock_guard lock(mutex);
    isOver = true;
  }
  ends.notify_all();
  if (writer.joinable())
    writer.join();
}

void Progress::write() {
  std::unique_lock lock(mutex);
  ends.wait_for(lock, 1s, [&] { return isOver; });
  while (!isOver) {
    std::chrono::duration<double> time =
        std::chrono::steady_clock::now() - start;
    if (!text.empty()) {
      fprintf(stderr, "\r\033[K[%.1f s] %s", time.count(), text.c_str());
      fflush(stderr);
      isShown = true;
    }
    ends.wait_for(lock, 100ms, [&] { return isOver; });
  }
}

void Progress::show(const std::string &what) {
  if (!isTerminal)
    return;
  std::lock_guard lock(mutex);
  text = printable(what);
  if (!writer.joinable())
    writer = std::thread([this] { write(); });
}

void Progress::clear() {
  std::lock_guard lock(mutex);
  if (isShown)
    fputs("\r\033[K", stderr);
  isShown = false;
  text.clear();
}

} // namespace nncc
