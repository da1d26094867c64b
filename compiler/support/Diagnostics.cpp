//===- Diagnostics.cpp - errors that point at the model file --------------===//
#include "support/Diagnostics.h"
#include "llvm/ADT/STLExtras.h"
#include "llvm/ADT/Twine.h"

namespace nncc {

Diagnostics::Diagnostics(std::string file, llvm::StringRef text)
    : file(std::move(file)), text(text), lineStarts{0} {
  for (size_t i = 0; i < text.size(); ++i)
    if (text[i] == '\n')
      lineStarts.push_back(i + 1);
}

void Diagnostics::add(Severity severity, Span span,
                      const llvm::Twine &message) {
  std::string words = message.str();
  isRepeated = !said.insert(std::to_string(span.begin) + words).second;
  if (isRepeated)
    return;
  entries.push_back({severity, span, words, {}});
  errors += severity == Severity::error;
}

void Diagnostics::error(Span span, const llvm::Twine &message) {
  add(Severity::error, span, message);
}

void Diagnostics::warning(Span span, const llvm::Twine &message) {
  add(Severity::warning, span, message);
}

void Diagnostics::note(Span span, const llvm::Twine &message) {
  assert(!entries.empty() && "a note belongs to an error");
  if (!isRepeated)
    entries.back().notes.push_back({Severity::note, span, message.str(), {}});
}

LineColumn Diagnostics::lineColumn(size_t offset) const {
  auto next = llvm::upper_bound(lineStarts, offset);
  return {static_cast<unsigned>(next - lineStarts.begin()),
          static_cast<unsigned>(offset - *std::prev(next) + 1)};
}

Span Diagnostics::spanAt(LineColumn at) const {
  size_t begin = lineStarts[at.line - 1] + at.column - 1;
  return {begin, begin + 1};
}

void Diagnostics::printOne(llvm::raw_ostream &os, const Entry &entry) const {
  static const char *names[] = {"error", "warning", "note"};
  if (entry.span.begin == nowhere.begin) {
    os << file << ": " << names[unsigned(entry.severity)] << ": " << entry.text
       << '\n';
    return;
  }
  LineColumn at = lineColumn(entry.span.begin);
  os << file << ':' << at.line << ':' << at.column << ": "
     << names[unsigned(entry.severity)] << ": " << entry.text << '\n';

  // Long lines are cut around the caret.
  size_t lineStart = entry.span.begin - (at.column - 1);
  llvm::StringRef line = text.substr(lineStart);
  line = line.take_until([](char c) { return c == '\n'; });
  size_t column = at.column - 1, shift = column > 60 ? column - 60 : 0;
  llvm::StringRef shown = line.substr(shift, 120);
  std::string printable = shown.str();
  for (char &c : printable)
    if (static_cast<unsigned char>(c) < 32)
      c = ' ';
  os << "  " << printable << "\n  ";
  os.indent(column - shift) << '^';
  size_t length = entry.span.end - entry.span.begin;
  size_t room = shown.size() - std::min(shown.size(), column - shift);
  for (size_t i = 1; i < std::min(length, room); ++i)
    os << '~';
  os << '\n';
}

std::vector<const Diagnostics::Entry *> Diagnostics::sorted() const {
  std::vector<const Entry *> list;
  for (const Entry &entry : entries)
    list.push_back(&entry);
  llvm::stable_sort(list, [](const Entry *x, const Entry *y) {
    return x->span.begin < y->span.begin;
  });
  return list;
}

void Diagnostics::print(llvm::raw_ostream &os) const {
  for (const Entry *entry : sorted()) {
    printOne(os, *entry);
    for (const Entry &note : entry->notes)
      printOne(os, note);
  }
  if (errors)
    os << errors << (errors == 1 ? " error\n" : " errors\n");
}

std::string didYouMean(llvm::StringRef word,
                       llvm::ArrayRef<llvm::StringRef> known) {
  unsigned limit = 1 + static_cast<unsigned>(word.size()) / 4, best = limit + 1;
  llvm::StringRef nearest;
  for (llvm::StringRef candidate : known) {
    unsigned distance = word.edit_distance_insensitive(candidate, true, limit);
    if (distance < best) {
      best = distance;
      nearest = candidate;
    }
  }
  if (nearest.empty())
    return "";
  return (", did you mean \"" + nearest + "\"?").str();
}

std::string shapeText(llvm::ArrayRef<int64_t> shape) {
  std::string text = "[";
  for (size_t i = 0; i < shape.size(); ++i)
    text += (i ? ", " : "") + std::to_string(shape[i]);
  return text + "]";
}

} // namespace nncc
