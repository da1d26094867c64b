//===- Progress.h - a line on the terminal during long work -----*- C++ -*-===//
#ifndef NNCC_TOOLS_PROGRESS_H
#define NNCC_TOOLS_PROGRESS_H

#include <chrono>
#include <string>

namespace nncc {

/// Shows what goes on and for how long, on stderr, if that is a terminal and
/// the work takes longer than a moment. Gone when the work is done.
class Progress {
public:
  Progress();
  ~Progress() { clear(); }
  void show(const std::string &text);
  void clear();

private:
  bool isTerminal, isShown = false;
  std::chrono::steady_clock::time_point start;
};

} // namespace nncc
#endif // NNCC_TOOLS_PROGRESS_H
