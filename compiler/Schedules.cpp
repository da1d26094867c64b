//===- Schedules.cpp - schedules by hand or from a tuner ------------------===//
#include "Schedules.h"
#include "dialect/Names.h"
#include "frontend/Json.h"
#include "mlir/Dialect/Func/IR/FuncOps.h"

using namespace mlir;

namespace nncc {

static void parseNumber(const JsonMember &member, const std::string &key,
                        const KernelTarget &how, Diagnostics &problems,
                        ScheduleTable &table) {
  const ScheduleNumber *number = how.number(member.key);
  if (!number)
    problems.error(member.keySpan,
                   "unknown number \"" + member.key + "\" in a schedule");
  else if (!member.value.isInteger() || member.value.integer < 1 ||
           member.value.integer > number->most)
    problems.error(member.value.span, member.key +
                                          " must be an integer from 1 to " +
                                          std::to_string(number->most) +
                                          ", got " + member.value.describe());
  else
    table[key][member.key] = member.value.integer;
}

ScheduleTable parseSchedules(const std::string &text, const KernelTarget &how,
                             Diagnostics &problems) {
  ScheduleTable table;
  if (text.empty())
    return table;
  auto json = parseJson(text, problems);
  if (!json)
    return table;
  if (!json->isObject())
    problems.error(json->span,
                   "schedules must be an object, got " + json->describe());
  for (const JsonMember &kernel : json->members) {
    if (!kernel.value.isObject())
      problems.error(kernel.value.span, "a schedule must be an object, got " +
                                            kernel.value.describe());
    for (const JsonMember &number : kernel.value.members)
      parseNumber(number, kernel.key, how, problems, table);
  }
  return table;
}

static void checkNumbers(const JsonMember &member, func::FuncOp kernel,
                         Diagnostics &problems) {
  auto schedule = kernel->getAttrOfType<DictionaryAttr>(scheduleAttr);
  std::string has;
  for (NamedAttribute number : schedule)
    has += (has.empty() ? "" : ", ") + number.getName().str();
  for (const JsonMember &number : member.value.members)
    if (!schedule.contains(number.key))
      problems.error(number.keySpan, "the schedule of this kernel, " +
                                         kernel.getName() + ", has no " +
                                         number.key + ", only " + has);
}

void checkSchedules(const std::string &text, ArrayRef<ModuleOp> models,
                    Diagnostics &problems) {
  if (text.empty())
    return;
  auto json = parseJson(text, problems);
  std::map<std::string, func::FuncOp> kernels;
  for (ModuleOp model : models)
    for (auto kernel : model.getOps<func::FuncOp>())
      if (auto key = kernel->getAttrOfType<StringAttr>(kernelKeyAttr))
        kernels.emplace(key.str(), kernel);
  bool fits = false;
  for (const JsonMember &member : json->members)
    fits = fits || kernels.count(member.key);
  for (const JsonMember &member : json->members) {
    auto kernel = kernels.find(member.key);
    if (kernel != kernels.end()) {
      checkNumbers(member, kernel->second, problems);
      continue;
    }
    std::string what = "no kernel has the key \"" + member.key + "\"";
    if (fits)
      problems.warning(member.keySpan, what);
    else
      problems.error(member.keySpan,
                     what + ": nncc inspect --json says what kernels there "
                            "are on this CPU");
  }
}

} // namespace nncc
