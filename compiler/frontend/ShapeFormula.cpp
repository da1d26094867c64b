//===- ShapeFormula.cpp - shapes by names and formulas --------------------===//
#include "frontend/ShapeFormula.h"
#include "support/Diagnostics.h"
#include "llvm/ADT/STLExtras.h"
#include "llvm/ADT/StringExtras.h"
#include "llvm/Support/MathExtras.h"

namespace nncc {

/// Reads "name op name ...", blanks between; a term that is none has no
/// factors, which `problems` reports.
ShapeFormula::Term ShapeFormula::parse(llvm::StringRef text) {
  Term term;
  term.isAny = text.consume_front("...");
  term.isList = text.consume_front("*");
  term.isOptional = text.consume_back("?");
  term.text = term.isAny ? "..." : text.str();
  if (term.isAny)
    return term;
  llvm::SmallVector<llvm::StringRef> words;
  text.split(words, ' ');
  for (size_t i = 0; i < words.size(); i += 2) {
    Factor factor{'*', words[i].str(), 0};
    bool isNumber = !words[i].getAsInteger(10, factor.number);
    bool isName = !words[i].empty() && llvm::all_of(words[i], [](char c) {
      return llvm::isAlnum(c) || c == '_' || c == '.';
    });
    if (isNumber)
      factor.name.clear();
    if (i)
      factor.op = words[i - 1].front();
    bool isOp = !i || (words[i - 1].size() == 1 &&
                       llvm::StringRef("*/+-").contains(factor.op));
    if (!isOp || !(isNumber || isName)) {
      term.factors.clear();
      return term;
    }
    term.factors.push_back(std::move(factor));
  }
  if (words.size() % 2 == 0)
    term.factors.clear();
  return term;
}

ShapeFormula::ShapeFormula(std::initializer_list<const char *> list) {
  for (const char *text : list)
    terms.push_back(parse(text));
}
ShapeFormula::ShapeFormula(const std::vector<std::string> &list) {
  for (const std::string &text : list)
    terms.push_back(parse(text));
}

std::vector<std::string> ShapeFormula::problems() const {
  std::vector<std::string> list;
  unsigned optional = 0, open = 0;
  for (const Term &term : terms) {
    optional += term.isOptional;
    open += term.isAny;
    if (!term.isAny && term.factors.empty())
      list.push_back("\"" + term.text + "\" is no formula");
    if (term.isList && term.factors.size() != 1)
      list.push_back("\"*" + term.text + "\" is no name of a list");
  }
  if (optional > 1 || open > 1)
    list.push_back("at most one term may be missing, and one be \"...\"");
  return list;
}

std::vector<std::string> ShapeFormula::names() const {
  std::vector<std::string> list;
  for (const Term &term : terms)
    for (const Factor &factor : term.factors)
      if (!factor.name.empty())
        list.push_back(factor.name);
  return list;
}

bool ShapeFormula::isKnown(const Term &term, const Sizes &sizes, size_t from) {
  return llvm::all_of(llvm::ArrayRef(term.factors).drop_front(from),
                      [&](const Factor &factor) {
                        return factor.name.empty() || sizes.count(factor.name);
                      });
}

/// `start` with the factors behind `from`.
std::optional<int64_t> ShapeFormula::valueOf(const Term &term,
                                             const Sizes &sizes, size_t from,
                                             int64_t start, SizeError &error) {
  int64_t value = start;
  for (const Factor &factor : llvm::ArrayRef(term.factors).drop_front(from)) {
    int64_t other =
        factor.name.empty() ? factor.number : sizes.at(factor.name).front();
    if (factor.op == '/') {
      if (other == 0 || value % other) {
        const std::string &whole = term.factors.front().name;
        error = {factor.name, factor.name + " must divide " + whole + ", got " +
                                  factor.name + " = " + std::to_string(other) +
                                  ", " + whole + " = " + std::to_string(value)};
        return std::nullopt;
      }
      value /= other;
      continue;
    }
    bool overflows = factor.op == '*' ? llvm::MulOverflow(value, other, value)
                     : factor.op == '+'
                         ? llvm::AddOverflow(value, other, value)
                         : llvm::SubOverflow(value, other, value);
    if (overflows || value < 0) {
      error = {factor.name, term.text + " is no size"};
      return std::nullopt;
    }
  }
  return value;
}

std::optional<llvm::SmallVector<int64_t>>
ShapeFormula::evaluate(const Sizes &sizes, SizeError &error) const {
  llvm::SmallVector<int64_t> shape;
  for (const Term &term : terms) {
    if (term.isList) {
      llvm::append_range(shape, sizes.at(term.text));
      continue;
    }
    std::optional<int64_t> size = valueOf(term, sizes, 0, 1, error);
    if (!size)
      return std::nullopt;
    shape.push_back(*size);
  }
  return shape;
}

/// Compares, or finds the first name of the term from the others.
bool ShapeFormula::matchOne(const Term &term, int64_t size, Sizes &sizes,
                            SizeError &error) {
  if (isKnown(term, sizes, 0)) {
    std::optional<int64_t> expected = valueOf(term, sizes, 0, 1, error);
    return expected && *expected == size;
  }
  if (!isKnown(term, sizes, 1))
    return true;
  // a / groups = size, so a = size * groups.
  Term inverse{term.text};
  for (const Factor &factor :
       llvm::reverse(llvm::ArrayRef(term.factors).drop_front())) {
    char op = factor.op == '*'   ? '/'
              : factor.op == '/' ? '*'
              : factor.op == '+' ? '-'
                                 : '+';
    inverse.factors.push_back({op, factor.name, factor.number});
  }
  SizeError none;
  std::optional<int64_t> first = valueOf(inverse, sizes, 0, size, none);
  if (first)
    sizes[term.factors.front().name] = {*first};
  return first.has_value();
}

bool ShapeFormula::matchAll(llvm::ArrayRef<int64_t> shape, bool withOptional,
                            Sizes &sizes, SizeError &error) const {
  auto isOpen = [&](const Term &term) {
    return term.isAny || (term.isList && !sizes.count(term.text));
  };
  int64_t fixed = 0;
  bool hasOpen = false;
  for (const Term &term : terms) {
    hasOpen |= isOpen(term);
    if (isOpen(term) || (term.isOptional && !withOptional))
      continue;
    fixed += term.isList ? sizes.at(term.text).size() : 1;
  }
  int64_t rest = int64_t(shape.size()) - fixed;
  if (rest < 0 || (rest > 0 && !hasOpen))
    return false;
  bool fits = true;
  for (const Term &term : terms) {
    if (term.isOptional && !withOptional)
      continue;
    if (!term.isAny && !term.isList) {
      fits &= matchOne(term, shape.front(), sizes, error);
      shape = shape.drop_front();
      continue;
    }
    size_t count = isOpen(term) ? rest : sizes.at(term.text).size();
    llvm::ArrayRef<int64_t> part = shape.take_front(count);
    shape = shape.drop_front(count);
    if (term.isList && isOpen(term))
      sizes[term.text] = llvm::SmallVector<int64_t>(part);
    else if (term.isList)
      fits &= part == llvm::ArrayRef(sizes.at(term.text));
  }
  return fits;
}

bool ShapeFormula::match(llvm::ArrayRef<int64_t> shape, Sizes &sizes,
                         SizeError &error) const {
  bool hasOptional =
      llvm::any_of(terms, [](const Term &term) { return term.isOptional; });
  for (bool with : {true, false}) {
    Sizes trial = sizes;
    if (matchAll(shape, with, trial, error)) {
      sizes = std::move(trial);
      return true;
    }
    if (!hasOptional)
      break;
  }
  return false;
}

std::string ShapeFormula::textOf(const Sizes &sizes, bool withOptional) const {
  std::vector<std::string> list;
  SizeError none;
  for (const Term &term : terms) {
    if (term.isOptional && !withOptional)
      continue;
    bool known = !term.isAny && isKnown(term, sizes, 0);
    if (term.isList && known)
      for (int64_t size : sizes.at(term.text))
        list.push_back(std::to_string(size));
    else if (std::optional<int64_t> size =
                 known ? valueOf(term, sizes, 0, 1, none) : std::nullopt)
      list.push_back(std::to_string(*size));
    else
      list.push_back((term.isList ? "*" : "") + term.text);
  }
  return "[" + llvm::join(list, ", ") + "]";
}

std::string ShapeFormula::text(const Sizes &sizes) const {
  std::string all = textOf(sizes, true), fewer = textOf(sizes, false);
  return all == fewer ? all : all + " or " + fewer;
}

} // namespace nncc
