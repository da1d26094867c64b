//===- Schedules.cpp - schedules by hand or from a tuner ------------------===//
#include "Schedules.h"
#include "frontend/Json.h"

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
    problems.error(member.value.span,
                   member.key + " must be an integer from 1 to " +
                       std::to_string(number->most) + ", got " +
                       member.value.describe());
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

} // namespace nncc
