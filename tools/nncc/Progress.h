//===- Progress.h - a line on the terminal during long work -----*- C++ -*-===//
#ifndef NNCC_TOOLS_PROGRESS_H
#define NNCC_TOOLS_PROGRESS_H

#include <chrono>
#include <condition_variable>
#include <mutex>
#include <string>
#include <thread>

namespace nncc {

/// Shows what goes on and for how long, on stderr, if that is a terminal and
/// the work takes more than a second. A thread of its own writes ten times a
/// second, so that the time goes on while a long part says nothing, and short
/// parts cost nothing. Gone when the work is done.
class Progress {
public:
  Progress();
  ~Progress();
  void show(const std::string &text);
  void clear();
  bool isOn() const { return isTerminal; }

private:
  void write();

  bool isTerminal, isShown = false, isOver = false;
  std::chrono::steady_clock::time_point start;
  std::string text; // "": nothing to show
  std::mutex mutex;
  std::condition_variable ends;
  std::thread writer;
};

} // namespace nncc
#endif // NNCC_TOOLS_PROGRESS_H
