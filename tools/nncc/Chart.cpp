//===- Chart.cpp - the course of a training as SVG ------------------------===//
//
// A line has at most two points per column of the picture, the least and the
// largest value there, so that no peak is lost and a long training is no larger
// than a short one. Ticks are round numbers, as Heckbert has them (Graphics
// Gems, "Nice Numbers for Graph Labels").
//
//===----------------------------------------------------------------------===//
#include "Curve.h"
#include "Talk.h"
#include <algorithm>
#include <cmath>
#include <sstream>

namespace nncc {

namespace {

struct Point {
  double x, y;
};

class Chart {
public:
  explicit Chart(const std::vector<CurvePoint> &points);
  std::string draw(const std::string &title,
                   const std::vector<CurvePoint> &points);

private:
  static constexpr double width = 800, height = 450, left = 70, right = 20,
                          top = 40, bottom = 45;

  double x(double step) const {
    return left + (step - first) / (last - first) * (width - left - right);
  }
  double y(double value) const {
    return top + (high - value) / (high - low) * (height - top - bottom);
  }
  void drawAxes();
  bool drawLine(const char *name, const char *colour, double wide,
                const std::vector<Point> &values);

  double low = INFINITY, high = -INFINITY, first = 0, last = 1;
  std::ostringstream os;
};

/// 1, 2 or 5 times a power of ten, so that `range` has about four such steps.
double roundStep(double range) {
  double rough = range / 4, power = std::pow(10, std::floor(std::log10(rough)));
  double digit = rough / power;
  return power * (digit < 1.5 ? 1 : digit < 3.5 ? 2 : digit < 7.5 ? 5 : 10);
}

std::string escaped(const std::string &text) {
  std::string result;
  for (char c : printable(text))
    result += c == '<'   ? "&lt;"
              : c == '>' ? "&gt;"
              : c == '&' ? "&amp;"
                         : std::string(1, c);
  return result;
}

/// The least and the largest value of each column, in order.
std::vector<Point> thinned(const std::vector<Point> &points, size_t columns,
                           double first, double last) {
  if (points.size() <= 2 * columns)
    return points;
  std::vector<Point> result;
  auto columnOf = [&](const Point &p) {
    return size_t((p.x - first) / (last - first) * double(columns));
  };
  for (size_t i = 0; i < points.size();) {
    size_t least = i, most = i, next = i;
    size_t column = columnOf(points[i]);
    for (; next < points.size() && columnOf(points[next]) == column; ++next) {
      if (points[next].y < points[least].y)
        least = next;
      if (points[next].y > points[most].y)
        most = next;
    }
    result.push_back(points[std::min(least, most)]);
    if (least != most)
      result.push_back(points[std::max(least, most)]);
    i = next;
  }
  return result;
}

Chart::Chart(const std::vector<CurvePoint> &points) {
  for (const CurvePoint &p : points)
    for (double value : {p.loss, p.validation})
      if (std::isfinite(value)) {
        low = std::min(low, value);
        high = std::max(high, value);
      }
  if (!(low <= high))
    low = 0, high = 1;
  if (high == low)
    high = low + std::max(1.0, std::fabs(low));
  if (!points.empty()) {
    first = double(points.front().step);
    last = std::max(first + 1, double(points.back().step));
  }
}

void Chart::drawAxes() {
  char text[40];
  double step = roundStep(high - low);
  auto end = int64_t(std::floor(high / step));
  for (auto k = int64_t(std::ceil(low / step)); k <= end; ++k) {
    double value = double(k) * step, at = y(value);
    snprintf(text, sizeof text, "%.6g", value);
    os << "<line x1=\"" << left << "\" x2=\"" << width - right << "\" y1=\""
       << at << "\" y2=\"" << at << "\" stroke=\"#ddd\"/>\n<text x=\""
       << left - 8 << "\" y=\"" << at + 4 << "\" text-anchor=\"end\">" << text
       << "</text>\n";
  }
  step = std::max(1.0, roundStep(last - first));
  end = int64_t(std::floor(last / step));
  for (auto k = int64_t(std::ceil(first / step)); k <= end; ++k) {
    double value = double(k) * step, at = x(value);
    snprintf(text, sizeof text, "%.0f", value);
    // Half of a digit's width is about 4; the last label stays inside.
    bool isLast = at + 4 * double(std::string(text).size()) > width - 4;
    os << "<text x=\"" << (isLast ? width - 4 : at) << "\" y=\""
       << height - bottom + 20 << "\" text-anchor=\""
       << (isLast ? "end" : "middle") << "\">" << text << "</text>\n";
  }
}

bool Chart::drawLine(const char *name, const char *colour, double wide,
                     const std::vector<Point> &values) {
  os << "<polyline fill=\"none\" stroke=\"" << colour << "\" stroke-width=\""
     << wide << "\" points=\"";
  for (const Point &p :
       thinned(values, size_t(width - left - right), first, last))
    os << x(p.x) << ',' << y(p.y) << ' ';
  os << "\"><title>" << name << "</title></polyline>\n";
  return !values.empty();
}

std::string Chart::draw(const std::string &title,
                        const std::vector<CurvePoint> &points) {
  os << "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 " << width
     << ' ' << height << "\" font-family=\"sans-serif\" font-size=\"13\">\n"
     << "<rect width=\"100%\" height=\"100%\" fill=\"white\"/>\n<text x=\""
     << left << "\" y=\"24\" font-size=\"16\">" << escaped(title)
     << "</text>\n";
  drawAxes();
  std::vector<Point> losses, means, validations;
  double mean = NAN;
  for (const CurvePoint &p : points) {
    if (std::isfinite(p.validation))
      validations.push_back({double(p.step), p.validation});
    if (!std::isfinite(p.loss))
      continue;
    mean = std::isnan(mean) ? p.loss : mean * 0.9 + p.loss * 0.1;
    losses.push_back({double(p.step), p.loss});
    means.push_back({double(p.step), mean});
  }
  drawLine("loss", "#9ecae1", 1, losses);
  drawLine("running mean", "#08519c", 2, means);
  bool isValidated = drawLine("validation", "#d94801", 2, validations);
  os << "<text x=\"" << width - right << "\" y=\"24\" text-anchor=\"end\">"
     << "<tspan fill=\"#08519c\">loss, running mean</tspan>";
  if (isValidated)
    os << "<tspan fill=\"#d94801\">  validation</tspan>";
  os << "</text>\n<text x=\"" << (left + width - right) / 2 << "\" y=\""
     << height - 8 << "\" text-anchor=\"middle\">step</text>\n</svg>\n";
  return os.str();
}

} // namespace

std::string Curve::svg(const std::string &title) const {
  return Chart(points).draw(title, points);
}

} // namespace nncc
