//===- Curve.cpp - the course of a training -------------------------------===//
#include "Curve.h"
#include <algorithm>
#include <cmath>
#include <limits>
#include <sstream>

namespace nncc {

static const char header[] = "step,lr,loss,validation";

static std::string number(double value) {
  char text[40];
  snprintf(text, sizeof text, "%.9g", value);
  return text;
}

std::string Curve::csv() const {
  std::string text = std::string(header) + "\n";
  for (const CurvePoint &p : points)
    text += std::to_string(p.step) + "," + number(p.lr) + "," + number(p.loss) +
            "," + (std::isnan(p.validation) ? "" : number(p.validation)) + "\n";
  return text;
}

bool Curve::read(const std::string &csv, uint64_t last) {
  std::istringstream lines(csv);
  std::string line;
  if (!std::getline(lines, line) || line != header)
    return false;
  while (std::getline(lines, line)) {
    unsigned long long step;
    CurvePoint p = {0, 0, 0, std::numeric_limits<double>::quiet_NaN()};
    if (sscanf(line.c_str(), "%llu,%lf,%lf,%lf", &step, &p.lr, &p.loss,
               &p.validation) < 3)
      return false;
    p.step = step;
    if (p.step <= last)
      points.push_back(p);
  }
  return true;
}

std::string Curve::svg(const std::string &title) const {
  const double width = 800, height = 450, left = 70, right = 20, top = 40,
               bottom = 45;
  double low = INFINITY, high = -INFINITY;
  auto widen = [&](double value) {
    if (std::isfinite(value)) {
      low = std::min(low, value);
      high = std::max(high, value);
    }
  };
  for (const CurvePoint &p : points) {
    widen(p.loss);
    widen(p.validation);
  }
  if (!(low <= high))
    low = 0, high = 1;
  if (high == low)
    high = low + 1;
  double last =
      points.empty() ? 1 : std::max<double>(2, double(points.back().step));
  double first = points.empty() ? 0 : double(points.front().step);
  if (first >= last)
    first = last - 1;
  auto x = [&](double step) {
    return left + (step - first) / (last - first) * (width - left - right);
  };
  auto y = [&](double value) {
    return top + (high - value) / (high - low) * (height - top - bottom);
  };
  std::ostringstream os;
  os << "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 " << width
     << ' ' << height << "\" font-family=\"sans-serif\" font-size=\"13\">\n"
     << "<rect width=\"100%\" height=\"100%\" fill=\"white\"/>\n<text x=\""
     << left << "\" y=\"24\" font-size=\"16\">" << title << "</text>\n";
  for (int i = 0; i <= 4; ++i) {
    double value = low + (high - low) * i / 4;
    double step = std::round(first + (last - first) * i / 4);
    os << "<line x1=\"" << left << "\" x2=\"" << width - right << "\" y1=\""
       << y(value) << "\" y2=\"" << y(value)
       << "\" stroke=\"#ddd\"/>\n<text x=\"" << left - 8 << "\" y=\""
       << y(value) + 4 << "\" text-anchor=\"end\">";
    char text[40];
    snprintf(text, sizeof text, "%.3g", value);
    os << text << "</text>\n<text x=\"" << x(step) << "\" y=\""
       << height - bottom + 20 << "\" text-anchor=\"middle\">" << step
       << "</text>\n";
  }
  auto line = [&](const char *name, const char *colour, double wide,
                  auto valueOf) {
    os << "<polyline fill=\"none\" stroke=\"" << colour << "\" stroke-width=\""
       << wide << "\" points=\"";
    bool any = false;
    for (const CurvePoint &p : points)
      if (double value = valueOf(p); std::isfinite(value)) {
        os << x(double(p.step)) << ',' << y(value) << ' ';
        any = true;
      }
    os << "\"><title>" << name << "</title></polyline>\n";
    return any;
  };
  double mean = NAN;
  line("loss", "#9ecae1", 1, [](const CurvePoint &p) { return p.loss; });
  line("running mean", "#08519c", 2, [&](const CurvePoint &p) {
    return mean = std::isnan(mean) ? p.loss : mean * 0.9 + p.loss * 0.1;
  });
  bool validated = line("validation", "#d94801", 2,
                        [](const CurvePoint &p) { return p.validation; });
  os << "<text x=\"" << width - right << "\" y=\"24\" text-anchor=\"end\">"
     << "<tspan fill=\"#08519c\">loss, running mean</tspan>";
  if (validated)
    os << "<tspan fill=\"#d94801\">  validation</tspan>";
  os << "</text>\n<text x=\"" << (left + width - right) / 2 << "\" y=\""
     << height - 8 << "\" text-anchor=\"middle\">step</text>\n</svg>\n";
  return os.str();
}

} // namespace nncc
