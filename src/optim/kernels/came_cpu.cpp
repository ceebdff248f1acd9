#include <vector>

#include "came_element.h"

namespace pixart::optim::kernels {

namespace {

int64_t number_of_tiles(const CameParameter& p) {
  if (came_is_stack(p)) return (p.matrices + kCameStack - 1) / kCameStack;
  return p.matrices * came_parts(p.rows) * came_parts(p.columns);
}

int64_t number_of_stacks(const CameParameter& p) {
  return came_is_stack(p) ? (p.matrices + kCameStack - 1) / kCameStack : p.matrices;
}

// One parameter, in the memory of `b`.
class Parameter {
 public:
  Parameter(const CameBuffers& buffers, const CameParameter& parameter)
      : b(buffers), e(*buffers.element), p(parameter), moments(buffers.moments + parameter.moments) {
    e.gradient_scale = buffers.norm.factor(e.gradient_scale);
  }

  void step() {
    const std::vector<float> second =
        roots_of(false, [&](int64_t i) { return came_square(e, b.gradients[p.offset + i]); });
    std::vector<float> updates(static_cast<size_t>(p.count));
    double squares = 0;
    for (int64_t i = 0; i < p.count; ++i) {
      const float update = came_update(e, b.gradients[p.offset + i], second[size_t(i)]);
      updates[size_t(i)] = update;
      squares += double(update) * double(update);
    }
    std::vector<float> residuals(updates.size());
    const float limit = came_limit(e, squares, p.count);
    for (size_t i = 0; i < updates.size(); ++i)
      residuals[i] = came_average(e, b.exp_avg[p.offset + int64_t(i)], updates[i] / limit);
    std::vector<float> steadying(updates.size(), 1.0F);
    if (p.is_factored != 0) steadying = roots_of(true, [&](int64_t i) { return residuals[size_t(i)]; });
    for (int64_t i = 0; i < p.count; ++i) {
      const int64_t at = p.offset + i;
      came_store(b, e, at, came_value(e, b.values[at], steadying[size_t(i)] * b.exp_avg[at], p.decays != 0));
    }
  }

 private:
  // Moves the moments, and returns the reciprocal roots of what they say about each element.
  template <class Value>
  std::vector<float> roots_of(bool residual, const Value& value) {
    std::vector<float> roots(static_cast<size_t>(p.count));
    if (p.is_factored == 0) {
      for (int64_t i = 0; i < p.count; ++i) {
        moments[i] = came_follow(e, residual, moments[i], value(i));
        roots[size_t(i)] = reciprocal_root(moments[i]);
      }
      return roots;
    }
    for (int64_t m = 0; m < p.matrices; ++m) roots_of_matrix(m, residual, value, roots);
    return roots;
  }

  template <class Value>
  void roots_of_matrix(int64_t m, bool residual, const Value& value, std::vector<float>& roots) {
    float* rows = moments + came_rows(p, residual) + m * p.rows;
    float* columns = moments + came_columns(p, residual) + m * p.columns;
    const auto at = [&](int64_t row, int64_t column) { return (m * p.rows + row) * p.columns + column; };
    double mean_of_rows = 0;
    for (int64_t row = 0; row < p.rows; ++row) {
      double sum = 0;
      for (int64_t column = 0; column < p.columns; ++column) sum += double(value(at(row, column)));
      rows[row] = came_follow(e, residual, rows[row], float(sum / double(p.columns)));
      mean_of_rows += double(rows[row]) / double(p.rows);
    }
    for (int64_t column = 0; column < p.columns; ++column) {
      double sum = 0;
      for (int64_t row = 0; row < p.rows; ++row) sum += double(value(at(row, column)));
      columns[column] = came_follow(e, residual, columns[column], float(sum / double(p.rows)));
      for (int64_t row = 0; row < p.rows; ++row)
        roots[size_t(at(row, column))] =
            reciprocal_root(rows[row] / float(mean_of_rows)) * reciprocal_root(columns[column]);
    }
  }

  const CameBuffers& b;
  CameElement e;
  const CameParameter& p;
  float* moments;
};

}  // namespace

CameLayout came_layout(const std::vector<CameShape>& shapes) {
  CameLayout layout;
  for (const CameShape& shape : shapes) {
    CameParameter p{};
    p.offset = shape.offset;
    p.count = shape.matrices * shape.rows * shape.columns;
    p.matrices = shape.matrices;
    p.rows = shape.is_factored ? shape.rows : came_parts(p.count);
    p.columns = shape.is_factored ? shape.columns : kCameSide;
    p.is_factored = shape.is_factored ? 1 : 0;
    p.decays = shape.decays ? 1 : 0;
    p.moments = layout.moments;
    p.roots = layout.roots;
    p.row_sums = layout.sums;
    p.column_sums = p.row_sums;
    p.first_tile = int64_t(layout.tiles.size());
    p.first_stack = int64_t(layout.stacks.size());
    const auto index = int32_t(layout.parameters.size());
    layout.tiles.insert(layout.tiles.end(), size_t(number_of_tiles(p)), index);
    layout.moments += p.is_factored != 0 ? 2 * p.matrices * (p.rows + p.columns) : p.count;
    if (p.is_factored != 0) {
      layout.roots += p.matrices * (p.rows + p.columns);
      p.column_sums += p.matrices * came_parts(p.columns) * p.rows;
      layout.sums = p.column_sums + p.matrices * came_parts(p.rows) * p.columns;
      layout.stacks.insert(layout.stacks.end(), size_t(number_of_stacks(p)), index);
    }
    layout.parameters.push_back(p);
  }
  return layout;
}

void came_cpu(const CameBuffers& buffers, int64_t parameters) {
  for (int64_t i = 0; i < parameters; ++i) Parameter(buffers, buffers.parameters[i]).step();
}

}  // namespace pixart::optim::kernels
