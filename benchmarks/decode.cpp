// The decoder's "global" rule with peaks on the grid (danceflax/pose/decode), an image after the
// other in one thread, with tables of people as published: what bench_decode.py compares with.
#include <algorithm>
#include <cmath>
#include <cstdint>
#include <utility>
#include <vector>

namespace {

struct Options {  // as bench_decode.py fills it
  int32_t height, width, joints, limbs, max_peaks, max_people, min_joints, samples;
  float peak_threshold, paf_threshold, paf_ratio, min_score, stride;
};
struct Peak { float x, y, cell, score; };
struct Pair { float order, score; int limb, a, b; };
struct Person { std::vector<int> peaks; float total; };  // peaks by joint, -1: none

// Where the Gaussian through cell i and its neighbours is highest; adds the logarithm of its gain.
float fit(const float* cell, int step, int i, int size, float& gain) {
  const int centre = std::clamp(i, 1, size - 2);
  const float floor = 0.01f * *cell;
  float value[3];
  for (int d = -1; d <= 1; d++) value[d + 1] = std::log(std::max(cell[(centre + d - i) * step], floor));
  const float slope = 0.5f * (value[2] - value[0]), bend = value[0] - 2 * value[1] + value[2];
  float vertex = bend < -1e-6f ? centre - slope / bend : float(i);
  vertex = std::clamp(vertex, i - 0.5f, i + 0.5f);
  const float t = vertex - centre, t0 = i - centre;
  gain += slope * (t - t0) + 0.5f * bend * (t * t - t0 * t0);
  return vertex;
}

// The peaks of every joint, highest first. A rim of -inf about the maps spares all questions of borders.
void find_peaks(const float* heatmaps, const Options& o, std::vector<std::vector<Peak>>& peaks) {
  const int channels = o.joints + 1, row = (o.width + 2) * channels;
  static std::vector<float> maps;
  static std::vector<int32_t> found;
  maps.assign((o.height + 2) * row, -INFINITY);
  found.resize(row);
  for (int y = 0; y < o.height; y++) {
    float* __restrict to = &maps[(y + 1) * row + channels];
    const float* from = heatmaps + y * o.width * channels;
    for (int i = 0; i < o.width * channels; i++) to[i] = std::abs(from[i]) < INFINITY ? from[i] : 0;
  }
  for (int y = 0; y < o.height; y++) {
    const float* line = &maps[(y + 1) * row];
    int32_t* __restrict is_peak = found.data();
    for (int i = channels; i < row - channels; i++) {
      const float v = line[i];
      is_peak[i] = (v > o.peak_threshold) & (v > line[i - channels]) & (v >= line[i + channels]) &
                 (v > line[i - row - channels]) & (v > line[i - row]) & (v > line[i - row + channels]) &
                 (v >= line[i + row - channels]) & (v >= line[i + row]) & (v >= line[i + row + channels]);
    }
    for (int i = channels; i < row - channels; i++) {
      if (!is_peak[i]) continue;
      const int x = i / channels - 1, joint = i % channels;
      if (joint == o.joints) continue;
      float gain = 0, v = line[i];
      const float px = fit(line + i, channels, x, o.width, gain), py = fit(line + i, row, y, o.height, gain);
      peaks[joint].push_back({px, py, v, std::min(v * std::exp(gain), std::max(v, 1.0f))});
    }
  }
  for (auto& list : peaks) {
    std::stable_sort(list.begin(), list.end(), [](auto& a, auto& b) { return a.cell > b.cell; });
    if (int(list.size()) > o.max_peaks) list.resize(o.max_peaks);
  }
}

// How well the field says that two peaks are one limb; -inf: they are none.
float score_pair(const float* field, const Options& o, const Peak& a, const Peak& b) {
  const float dx = b.x - a.x, dy = b.y - a.y, length = std::sqrt(dx * dx + dy * dy);
  if (!(length > 1e-6f)) return -INFINITY;
  const float ux = dx / length, uy = dy / length;
  const int step = 2 * o.limbs;
  float sum = 0;
  int supports = 0;
  for (int i = 0; i < o.samples; i++) {
    const float along = (i + 0.5f) / o.samples, x = a.x + along * dx, y = a.y + along * dy;
    const float fx = std::floor(x), fy = std::floor(y), right = x - fx, down = y - fy;
    const int x0 = std::clamp(int(fx), 0, o.width - 1), x1 = std::clamp(int(fx) + 1, 0, o.width - 1);
    const int y0 = std::clamp(int(fy), 0, o.height - 1), y1 = std::clamp(int(fy) + 1, 0, o.height - 1);
    auto value = [&](int y, int x) {
      const float* cell = field + (y * o.width + x) * step;
      return cell[0] * ux + cell[1] * uy;
    };
    const float v = (1 - down) * ((1 - right) * value(y0, x0) + right * value(y0, x1)) +
                    down * ((1 - right) * value(y1, x0) + right * value(y1, x1));
    if (v > o.paf_threshold) sum += v, supports++;
  }
  if (supports > o.paf_ratio * o.samples) return std::isfinite(sum) ? sum / supports : -INFINITY;
  return length < 1 ? o.peak_threshold : -INFINITY;
}

void decode_one(const float* heatmaps, const float* pafs, const Options& o, const int32_t* limbs,
                const uint8_t* counted, float* people, float* scores) {
  std::vector<std::vector<Peak>> peaks(o.joints);
  find_peaks(heatmaps, o, peaks);
  std::vector<Pair> pairs;
  for (int k = 0; k < o.limbs; k++) {
    const auto &from = peaks[limbs[2 * k]], &to = peaks[limbs[2 * k + 1]];
    for (int a = 0; a < int(from.size()); a++)
      for (int b = 0; b < int(to.size()); b++) {
        const float score = score_pair(pafs + 2 * k, o, from[a], to[b]);
        if (score > -INFINITY)
          pairs.push_back({score + 0.1f * (from[a].score + to[b].score), score, k, a, b});
      }
  }
  std::stable_sort(pairs.begin(), pairs.end(), [](auto& a, auto& b) { return a.order > b.order; });
  if (int(pairs.size()) > o.limbs * o.max_peaks) pairs.resize(o.limbs * o.max_peaks);

  std::vector<Person> table;
  std::vector<std::vector<int>> owner(o.joints);  // of each peak, the person, -1: none
  for (int j = 0; j < o.joints; j++) owner[j].assign(peaks[j].size(), -1);
  for (const Pair& pair : pairs) {
    const int j[2] = {limbs[2 * pair.limb], limbs[2 * pair.limb + 1]}, peak[2] = {pair.a, pair.b};
    for (int end = 0; end < 2; end++)
      if (owner[j[end]][peak[end]] < 0) {  // a person of its own
        owner[j[end]][peak[end]] = table.size();
        table.push_back({std::vector<int>(o.joints, -1), peaks[j[end]][peak[end]].score});
        table.back().peaks[j[end]] = peak[end];
      }
    const int a = owner[j[0]][peak[0]], b = owner[j[1]][peak[1]];
    if (a != b) {
      bool apart = true;
      for (int i = 0; i < o.joints; i++) apart &= table[a].peaks[i] < 0 || table[b].peaks[i] < 0;
      if (!apart) continue;
      for (int i = 0; i < o.joints; i++)
        if (int peak = std::exchange(table[b].peaks[i], -1); peak >= 0) owner[i][table[a].peaks[i] = peak] = a;
      table[a].total += table[b].total;
    }
    table[a].total += pair.score;
  }

  std::vector<std::pair<float, const Person*>> kept;
  for (const Person& person : table) {
    int size = 0, important = 0;
    for (int j = 0; j < o.joints; j++)
      if (person.peaks[j] >= 0) size++, important += counted[j];
    if (size >= 2 && important >= o.min_joints && person.total >= o.min_score * important)
      kept.push_back({person.total, &person});
  }
  std::stable_sort(kept.begin(), kept.end(), [](auto& a, auto& b) { return a.first > b.first; });
  const int count = std::min<int>(kept.size(), o.max_people);
  std::fill_n(people, o.max_people * o.joints * 3, 0.0f);
  std::fill_n(scores, o.max_people, 0.0f);
  for (int p = 0; p < count; p++) {
    scores[p] = kept[p].first / (o.joints + o.limbs);
    for (int j = 0; j < o.joints; j++)
      if (int i = kept[p].second->peaks[j]; i >= 0) {
        float* to = people + (p * o.joints + j) * 3;
        to[0] = (peaks[j][i].x + 0.5f) * o.stride - 0.5f;
        to[1] = (peaks[j][i].y + 0.5f) * o.stride - 0.5f;
        to[2] = peaks[j][i].score;
      }
  }
}

}  // namespace

extern "C" void decode(const float* heatmaps, const float* pafs, int batch, const Options* o,
                       const int32_t* limbs, const uint8_t* counted, float* people, float* scores) {
  for (int i = 0; i < batch; i++) {
    const size_t cells = size_t(o->height) * o->width * i;
    decode_one(heatmaps + cells * (o->joints + 1), pafs + cells * 2 * o->limbs, *o, limbs, counted,
               people + size_t(o->max_people) * o->joints * 3 * i, scores + size_t(o->max_people) * i);
  }
}
