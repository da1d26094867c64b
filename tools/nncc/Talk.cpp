//===- Talk.cpp - what the tool says --------------------------------------===//
#include "Talk.h"
#include "llvm/Support/FormatVariadic.h"
#include <cerrno>
#include <cmath>
#include <cstring>
#include <fcntl.h>
#include <unistd.h>

namespace nncc {

namespace json = llvm::json;

namespace {

struct State {
  bool asJson = false, isWritten = false;
  std::vector<Problem> problems;
};

State &state() {
  static State state;
  return state;
}

bool writeAll(int file, const char *data, size_t bytes) {
  while (bytes) {
    ssize_t done = write(file, data, bytes);
    if (done < 0 && errno == EINTR)
      continue;
    if (done <= 0)
      return false;
    data += done;
    bytes -= size_t(done);
  }
  return true;
}

/// Nothing can be done when stderr fails.
void writeTalk(const std::string &text) {
  std::string shown = printable(text);
  (void)!writeAll(STDERR_FILENO, shown.data(), shown.size());
}

/// The bytes of the UTF-8 sequence that starts at `i`, 0 if there is none.
size_t sequenceAt(const std::string &text, size_t i) {
  auto byte = [&](size_t k) {
    return k < text.size() ? static_cast<unsigned char>(text[k]) : 0u;
  };
  unsigned first = byte(i);
  size_t length = first < 0x80    ? 1
                  : first < 0xc2  ? 0
                  : first < 0xe0  ? 2
                  : first < 0xf0  ? 3
                  : first <= 0xf4 ? 4
                                  : 0;
  for (size_t k = 1; k < length; ++k)
    if ((byte(i + k) & 0xc0) != 0x80)
      return 0;
  unsigned second = byte(i + 1);
  bool isBad = (first == 0xe0 && second < 0xa0) ||  // longer than needed
               (first == 0xed && second >= 0xa0) || // a surrogate
               (first == 0xf0 && second < 0x90) ||
               (first == 0xf4 && second >= 0x90) ||
               (first == 0xc2 && second < 0xa0); // C1 controls
  return isBad ? 0 : length;
}

json::Object toJson(const Problem &problem) {
  json::Array notes;
  for (const Problem &n : problem.notes)
    notes.push_back(json::Object{{"text", jsonText(n.text)},
                                 {"file", jsonText(n.file)},
                                 {"line", n.line},
                                 {"column", n.column}});
  json::Object object{{"text", jsonText(problem.text)},
                      {"file", nullptr},
                      {"line", nullptr},
                      {"column", nullptr},
                      {"notes", std::move(notes)}};
  if (!problem.file.empty())
    object["file"] = jsonText(problem.file);
  if (problem.line) {
    object["line"] = problem.line;
    object["column"] = problem.column;
  }
  return object;
}

const char *nameOf(int code) {
  switch (code) {
  case exitRejected:
    return "rejected";
  case exitUsage:
    return "usage";
  case exitDiffers:
    return "differs";
  case exitUnsupported:
    return "unsupported";
  case exitIo:
    return "io";
  case exitLimit:
    return "limit";
  case exitInterrupted:
    return "interrupted";
  default:
    return "internal";
  }
}

} // namespace

std::string printable(const std::string &text) {
  std::string shown;
  char escape[8];
  for (size_t i = 0; i < text.size();) {
    unsigned char c = static_cast<unsigned char>(text[i]);
    size_t length = sequenceAt(text, i);
    bool isControl = (c < 32 && c != '\n' && c != '\t') || c == 127;
    if (length && !isControl) {
      shown.append(text, i, length);
      i += length;
      continue;
    }
    snprintf(escape, sizeof escape, "\\x%02x", c);
    shown += escape;
    ++i;
  }
  return shown;
}

std::string numberText(double value, const char *format) {
  char text[40];
  snprintf(text, sizeof text, format, value);
  return std::isnan(value) ? "nan" : text;
}

std::string exactText(double value) {
  char text[40];
  for (int digits = 6; digits <= 17; ++digits) {
    snprintf(text, sizeof text, "%.*g", digits, value);
    if (strtod(text, nullptr) == value)
      break;
  }
  return std::isnan(value) ? "nan" : text;
}

std::string jsonText(const std::string &text) {
  return json::isUTF8(text) ? text : json::fixUTF8(text);
}

void prepareStreams() {
  for (int file = 0; file <= 2; ++file)
    if (fcntl(file, F_GETFD) < 0 && errno == EBADF)
      (void)!open("/dev/null", file == 0 ? O_WRONLY : O_RDONLY);
}

void tellAsJson() { state().asJson = true; }

/// A name of a file or in one may be longer than any screen: its middle goes.
static std::string withShortWords(const std::string &text) {
  constexpr size_t most = 400, part = 100;
  std::string shown;
  for (size_t at = 0; at < text.size();) {
    size_t end = std::min(text.find_first_of(" \n", at), text.size() - 1) + 1;
    if (end - at <= most)
      shown += text.substr(at, end - at);
    else
      shown += text.substr(at, part) + "..." + text.substr(end - part, part);
    at = end;
  }
  return shown;
}

int fail(int code, const std::string &text, const std::string &file) {
  writeTalk("nncc: " + withShortWords(text) + "\n");
  Problem problem;
  problem.text = text;
  problem.file = file;
  state().problems.push_back(std::move(problem));
  return code;
}

void note(const std::string &text) { writeTalk("nncc: " + text + "\n"); }

int report(Status status, const std::string &messages,
           const std::vector<Problem> &problems) {
  writeTalk(messages);
  if (status == Status::done)
    return exitDone;
  size_t before = state().problems.size();
  for (const Problem &problem : problems)
    if (!problem.isWarning)
      state().problems.push_back(problem);
  if (state().problems.size() == before) { // "nncc: a sentence\n"
    Problem problem;
    problem.text = messages.substr(messages.rfind("nncc: ", 0) == 0 ? 6 : 0);
    while (!problem.text.empty() && problem.text.back() == '\n')
      problem.text.pop_back();
    state().problems.push_back(std::move(problem));
  }
  return static_cast<int>(status);
}

int report(const CompileResult &result) {
  return report(result.status, result.messages, result.problems);
}

int writeOut(const std::string &data) {
  state().isWritten = true;
  if (writeAll(STDOUT_FILENO, data.data(), data.size()))
    return exitDone;
  return fail(exitIo,
              std::string("cannot write to stdout: ") + strerror(errno));
}

int printOut(const std::string &text) { return writeOut(printable(text)); }

int printJson(json::Value value, bool isPretty) {
  std::string text;
  llvm::raw_string_ostream os(text);
  if (isPretty)
    os << llvm::formatv("{0:2}", value);
  else
    os << value;
  os << '\n';
  return writeOut(text);
}

int endTalk(int code) {
  if (code == exitDone || !state().asJson || state().isWritten)
    return code;
  Problem unknown;
  unknown.text = "no reason was given";
  auto &problems = state().problems;
  json::Object error = toJson(problems.empty() ? unknown : problems.front());
  error["code"] = nameOf(code);
  json::Object root{{"error", std::move(error)}, {"exit", code}};
  json::Array others;
  for (size_t i = 1; i < problems.size(); ++i)
    others.push_back(toJson(problems[i]));
  if (!others.empty())
    root["others"] = std::move(others);
  if (printJson(std::move(root)))
    return exitIo;
  return code;
}

} // namespace nncc
