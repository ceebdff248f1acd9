#include "cost_bars.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>

#include "parts.h"
#include "pixart/base/html.h"
#include "pixart/base/words.h"
#include "pixart/report/paper_costs.h"
#include "series.h"

namespace pixart::report {
namespace {

struct Bar {
  std::string name, text;
  double value = 0;
  bool is_run = false;
};

constexpr double kRow = 38, kBarHeight = 12, kAxis = 24;

// Bars, each below its name, on a common logarithmic axis of whole decades.
std::string bars_svg(const std::string& title, const std::vector<Bar>& bars, double width) {
  double least = bars.front().value, most = least;
  for (const auto& bar : bars) least = std::min(least, bar.value), most = std::max(most, bar.value);
  const double first = std::floor(std::log10(least)) - 1, last = std::ceil(std::log10(most));
  const double bottom = kRow * double(bars.size()) + 4;
  const auto x = [&](double value) { return (std::log10(value) - first) / (last - first) * (width - 8) + 2; };
  std::string svg = fmt::format("<svg viewBox=\"0 0 {} {}\" role=\"img\" aria-label=\"{}, logarithmic\">\n",
                                width, bottom + kAxis, title);
  const int step = std::max(1, int(std::ceil((last - first) * 76 / width)));
  for (int decade = int(first); decade <= int(last); decade += step) {
    const double at = x(std::pow(10, decade));
    const char* anchor = at < 20 ? "start" : at > width - 30 ? "end" : "middle";
    svg += fmt::format(
        "<line class=\"grid\" x1=\"{0:.1f}\" x2=\"{0:.1f}\" y1=\"0\" y2=\"{1:.1f}\"/>\n<text class=\"soft\" "
        "x=\"{0:.1f}\" y=\"{2:.1f}\" text-anchor=\"{3}\">{4}</text>\n",
        at, bottom, bottom + 17, anchor, number_text(std::pow(10, decade)));
  }
  for (size_t i = 0; i < bars.size(); ++i) {
    const double y = kRow * double(i);
    svg += fmt::format(
        "<text x=\"4\" y=\"{:.1f}\"{}>{}: {}</text>\n<rect class=\"{}\" x=\"2\" y=\"{:.1f}\" "
        "width=\"{:.1f}\" "
        "height=\"{:.1f}\"/>\n",
        y + 14, bars[i].is_run ? " class=\"strong\"" : "", html_escaped(bars[i].name),
        html_escaped(bars[i].text), bars[i].is_run ? "bar-0" : "bar-paper", y + 19,
        std::max(1.0, x(bars[i].value) - 2), kBarHeight);
  }
  return svg + "</svg>\n";
}

std::string bars_html(const std::string& title, std::vector<Bar> bars) {
  std::stable_sort(bars.begin(), bars.end(), [](const Bar& a, const Bar& b) { return a.value > b.value; });
  return fmt::format("<figure class=\"chart\"><figcaption>{}</figcaption>\n{}</figure>\n", title,
                     bars_svg(title, bars, 440));
}

std::string money_text(double value) {
  return value >= 100 ? with_thousands(std::llround(value)) : fmt::format("{:.3g}", value);
}

std::string mass_text(double kg) {
  return kg >= 1000 ? fmt::format("{:.3g} t", kg / 1000)
         : kg >= 1  ? fmt::format("{:.3g} kg", kg)
                    : fmt::format("{:.3g} g", kg * 1000);
}

std::string energy_text(double kwh) {
  return kwh >= 1 ? fmt::format("{:.4g} kWh", kwh) : fmt::format("{:.3g} Wh", kwh * 1000);
}

std::string days_text(double days) {
  if (days >= 10) return with_thousands(std::llround(days)) + " days";
  return days >= 0.1 ? fmt::format("{:.1f} days", days) : fmt::format("{:.2g} days", days);
}

std::string all_bars(const std::vector<NamedCost>& runs) {
  std::vector<Bar> days, money, mass;
  for (const auto& row : paper_costs()) {
    const std::string name(row.model);
    days.push_back({name, with_thousands(std::llround(row.a100_days)) + " days", row.a100_days});
    if (row.dollars) money.push_back({name, "$" + money_text(*row.dollars), *row.dollars});
    if (row.tonnes_co2) mass.push_back({name, mass_text(*row.tonnes_co2 * 1000), *row.tonnes_co2});
  }
  for (const auto& run : runs) {
    const RunCost& cost = run.cost;
    if (cost.device_seconds > 0)
      days.push_back(
          {run.name, days_text(cost.device_days()) + " on " + run.devices, cost.device_days(), true});
    if (cost.money.value_or(0) > 0) money.push_back({run.name, money_text(*cost.money), *cost.money, true});
    if (cost.kg_co2.value_or(0) > 0)
      mass.push_back({run.name, mass_text(*cost.kg_co2), *cost.kg_co2 / 1000, true});
  }
  return "<div class=\"charts\">\n" + bars_html("Device days (the paper's: A100)", days) +
         bars_html("Money (the paper's: US dollars)", money) + bars_html("CO2 (tonnes)", mass) + "</div>\n";
}

std::string energy_note(const RunCost& cost, const CostRates& rates) {
  if (!cost.kwh) return "not measured";
  if (cost.measured_share >= 1) return "measured by the devices";
  const std::string assumed = fmt::format("{:g} W per device assumed", rates.watts.value_or(0));
  return cost.measured_share <= 0
             ? assumed
             : fmt::format("{:.0f} % of the time measured, else {}", 100 * cost.measured_share, assumed);
}

std::string runs_table(const std::vector<NamedCost>& runs, const CostRates& rates) {
  Table table{
      .head = {"run", "device hours", "in training steps", "energy", "CO2", "money", "devices", "energy is"},
      .rows = {},
      .numbers = 5,
      .cards = true};
  for (const auto& run : runs) {
    const RunCost& cost = run.cost;
    const double share = cost.device_seconds > 0 ? 100 * cost.training_seconds / cost.device_seconds : 0;
    table.rows.push_back({run.name, fmt::format("{:.4g}", cost.device_seconds / 3600),
                          fmt::format("{:.0f} %", std::min(100.0, share)),
                          cost.kwh ? energy_text(*cost.kwh) : "not known",
                          cost.kg_co2 ? mass_text(*cost.kg_co2) : "",
                          cost.money ? money_text(*cost.money) : "", run.devices, energy_note(cost, rates)});
  }
  return table_html(table);
}

std::string paper_table() {
  Table table{.head = {"model", "A100 days", "money", "CO2", "parameters", "pictures", "FID-30K", "from"},
              .rows = {},
              .numbers = 6,
              .cards = true};
  for (const auto& row : paper_costs())
    table.rows.push_back({std::string(row.model), with_thousands(std::llround(row.a100_days)),
                          row.dollars ? "$" + money_text(*row.dollars) : "",
                          row.tonnes_co2 ? mass_text(*row.tonnes_co2 * 1000) : "",
                          fmt::format("{:.1f} B", row.parameters / 1e9),
                          with_thousands(std::llround(row.images / 1e6)) + " M",
                          fmt::format("{:.2f}", row.fid), std::string(row.source)});
  std::string html = "<div class=\"source\">" + table_html(table) + "</div>\n";
  for (const auto& sentence : paper_cost_notes()) html += note(sentence);
  return html;
}

}  // namespace

std::string cost_html(const std::vector<NamedCost>& runs, const CostRates& rates) {
  bool knows_energy = true;
  for (const auto& run : runs) knows_energy = knows_energy && run.cost.kwh;
  std::vector<std::string> missing;
  if (!knows_energy) missing.push_back("--power WATTS");
  if (!rates.kg_per_kwh) missing.push_back("--carbon KG_PER_KWH");
  if (!rates.price_per_hour) missing.push_back("--price PER_DEVICE_HOUR");
  std::string html = runs_table(runs, rates);
  if (rates.price_per_hour) html += note(fmt::format("Money: {:g} per device hour.", *rates.price_per_hour));
  if (rates.kg_per_kwh) html += note(fmt::format("CO2: {:g} kg per kWh.", *rates.kg_per_kwh));
  if (!missing.empty()) html += note("For the other values, give " + join(missing, ", ") + ".");
  html += note(
      "A device hour is an hour in which a process held a device, without the times in which the run was "
      "stopped. The days of a run are days of its own devices, not of A100s.");
  return html + "<h3>Comparison with the paper's figures</h3>\n" + all_bars(runs) + paper_table();
}

}  // namespace pixart::report
