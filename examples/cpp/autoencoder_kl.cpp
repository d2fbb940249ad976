// diffusers' AutoencoderKL in plain C++17, and a port to judge: it reads what
// `vae-fidelity golden export INPUTS --format npy` wrote, and writes what
// `vae-fidelity golden verify --candidate OUT` judges, a trace of all layers included.
//
//     c++ -std=c++17 -O3 -o autoencoder_kl autoencoder_kl.cpp
//     ./autoencoder_kl INPUTS OUT [FAULT]
//
// One file, no library, one thread: written to be read, so export small cases (--only sd-small).
// FAULT plants a mistake, to see it found: no-attention-scale, no-clamp, eps or symmetric-padding.

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <iostream>
#include <map>
#include <numeric>
#include <stdexcept>
#include <string>
#include <vector>

namespace fs = std::filesystem;

// ---- JSON, as far as cases.json and config.json need it

struct Json {
    std::string text;  // of a number, a string, true, false or null
    std::vector<Json> list;
    std::map<std::string, Json> fields;

    const Json &operator[](const std::string &name) const {
        auto found = fields.find(name);
        if (found == fields.end()) throw std::runtime_error("JSON has no field " + name);
        return found->second;
    }
    bool has(const std::string &name) const { return fields.count(name) > 0; }
    int integer() const { return std::stoi(text); }
    bool yes() const { return text == "true"; }
};

struct JsonReader {
    const std::string &text;
    size_t at = 0;

    char next() {
        while (at < text.size() && std::isspace(static_cast<unsigned char>(text[at]))) at++;
        return at < text.size() ? text[at] : '\0';
    }
    std::string string() {
        std::string value;
        for (at++; at < text.size() && text[at] != '"'; at++) {
            if (text[at] == '\\') at++;
            value += text[at];
        }
        at++;
        return value;
    }
    Json value() {
        Json json;
        const char first = next();
        if (first == '{' || first == '[') {
            for (at++; next() != (first == '{' ? '}' : ']'); next() == ',' ? at++ : 0) {
                if (next() == '\0') throw std::runtime_error("JSON ends early");
                if (first == '[') {
                    json.list.push_back(value());
                    continue;
                }
                std::string name = string();
                next();
                at++;  // the colon
                json.fields[name] = value();
            }
            at++;
        } else if (first == '"') {
            json.text = string();
        } else {
            while (at < text.size() && !std::strchr(",]} \t\r\n", text[at])) json.text += text[at++];
        }
        return json;
    }
};

std::string contents(const fs::path &path) {
    std::ifstream file(path, std::ios::binary);
    if (!file) throw std::runtime_error(path.string() + ": cannot be read");
    return {std::istreambuf_iterator<char>(file), {}};
}

Json read_json(const fs::path &path) {
    const std::string text = contents(path);
    return JsonReader{text}.value();
}

// ---- Tensors: batches of one, so (channels, height, width); .npy files

struct Tensor {
    int channels, height, width;
    std::vector<float> values;

    Tensor(int c = 0, int h = 0, int w = 0) : channels(c), height(h), width(w), values(size_t(c) * h * w) {}
    int area() const { return height * width; }
    std::vector<int> shape() const { return {1, channels, height, width}; }
    float *channel(int c) { return values.data() + size_t(c) * area(); }
    const float *channel(int c) const { return values.data() + size_t(c) * area(); }
};

// The values of an .npy file of f32 in C order, and its shape.
std::vector<float> read_npy(const fs::path &path, std::vector<int> &shape) {
    const std::string bytes = contents(path);
    const size_t length = uint8_t(bytes.at(8)) | uint8_t(bytes.at(9)) << 8;
    const std::string header = bytes.substr(10, length);
    if (header.find("'<f4'") == std::string::npos || header.find("False") == std::string::npos)
        throw std::runtime_error(path.string() + ": expected f32 in C order");
    for (size_t at = header.find('(') + 1; header[at] != ')';) {
        if (std::isdigit(static_cast<unsigned char>(header[at]))) {
            size_t used = 0;
            shape.push_back(std::stoi(header.substr(at), &used));
            at += used;
        } else {
            at++;
        }
    }
    std::vector<float> values((bytes.size() - 10 - length) / 4);
    std::memcpy(values.data(), bytes.data() + 10 + length, values.size() * 4);
    return values;
}

Tensor read_tensor(const fs::path &path) {
    std::vector<int> shape;
    Tensor tensor;
    tensor.values = read_npy(path, shape);
    if (shape.size() != 4 || shape[0] != 1) throw std::runtime_error(path.string() + ": expected (1, C, H, W)");
    tensor.channels = shape[1], tensor.height = shape[2], tensor.width = shape[3];
    return tensor;
}

// Name, shape and values of tensors, as safetensors holds them.
using Named = std::map<std::string, std::pair<std::vector<int>, std::vector<float>>>;

void write_safetensors(const fs::path &path, const Named &tensors) {
    std::string header = "{";
    size_t end = 0;
    for (const auto &[name, tensor] : tensors) {
        std::string shape;
        for (int side : tensor.first) shape += (shape.empty() ? "" : ",") + std::to_string(side);
        const size_t start = end;
        end += tensor.second.size() * 4;
        header += (header.size() > 1 ? ",\"" : "\"") + name + "\":{\"dtype\":\"F32\",\"shape\":[" + shape +
                  "],\"data_offsets\":[" + std::to_string(start) + "," + std::to_string(end) + "]}";
    }
    header += "}";
    header.resize((header.size() + 7) / 8 * 8, ' ');
    const uint64_t length = header.size();
    std::ofstream file(path, std::ios::binary);
    file.write(reinterpret_cast<const char *>(&length), 8) << header;
    for (const auto &[name, tensor] : tensors)
        file.write(reinterpret_cast<const char *>(tensor.second.data()), std::streamsize(tensor.second.size() * 4));
    if (!file) throw std::runtime_error(path.string() + ": cannot be written");
}

// ---- The model, block by block under diffusers' names

class AutoencoderKL {
  public:
    AutoencoderKL(const fs::path &folder, std::string fault)
        : config(read_json(folder / "config.json")), weights(folder / "weights"), fault(std::move(fault)) {
        for (const Json &width : config["block_out_channels"].list) widths.push_back(width.integer());
    }

    const Json config;
    Named trace;  // what each module put out

    Tensor encode(const Tensor &sample) {
        Tensor x = conv("encoder.conv_in", sample);
        for (size_t level = 0; level < widths.size(); level++) {
            const std::string block = "encoder.down_blocks." + std::to_string(level);
            for (int layer = 0; layer < config["layers_per_block"].integer(); layer++)
                x = resnet(block + ".resnets." + std::to_string(layer), x);
            if (level + 1 < widths.size()) x = downsample(block + ".downsamplers.0", x);
            record(block, x);
        }
        x = mid_block("encoder.mid_block", x);
        x = record("encoder", conv("encoder.conv_out", activated(norm("encoder.conv_norm_out", x), "silu")));
        return config["use_quant_conv"].yes() ? conv("quant_conv", x, 1, 0) : x;
    }

    Tensor decode(const Tensor &latents) {
        Tensor x = config["use_post_quant_conv"].yes() ? conv("post_quant_conv", latents, 1, 0) : latents;
        x = mid_block("decoder.mid_block", conv("decoder.conv_in", x));
        for (size_t level = 0; level < widths.size(); level++) {
            const std::string block = "decoder.up_blocks." + std::to_string(level);
            for (int layer = 0; layer <= config["layers_per_block"].integer(); layer++)
                x = resnet(block + ".resnets." + std::to_string(layer), x);
            if (level + 1 < widths.size()) x = upsample(block + ".upsamplers.0", x);
            record(block, x);
        }
        return record("decoder", conv("decoder.conv_out", activated(norm("decoder.conv_norm_out", x), "silu")));
    }

    // The mean, or with noise a draw, times scaling_factor.
    Tensor scaled_latents(const Tensor &moments, const Tensor *noise) const {
        Tensor latents(moments.channels / 2, moments.height, moments.width);
        const size_t count = latents.values.size();
        for (size_t i = 0; i < count; i++) {
            float logvar = moments.values[count + i];
            if (fault != "no-clamp") logvar = std::clamp(logvar, -30.0f, 20.0f);
            const float drawn = noise ? std::exp(0.5f * logvar) * noise->values[i] : 0.0f;
            latents.values[i] = (moments.values[i] + drawn) * scaling();
        }
        return latents;
    }

    float scaling() const { return float(std::stod(config["scaling_factor"].text)); }

  private:
    const fs::path weights;
    const std::string fault;
    std::vector<int> widths;
    Named loaded;

    const std::pair<std::vector<int>, std::vector<float>> &weight(const std::string &name) {
        auto &entry = loaded[name];
        if (entry.second.empty()) entry.second = read_npy(weights / (name + ".npy"), entry.first);
        return entry;
    }

    Tensor record(const std::string &name, const Tensor &x) {
        trace[name] = {x.shape(), x.values};
        return x;
    }

    // `after` is padding on the right and at the bottom, which downsampling has alone.
    Tensor conv(const std::string &name, const Tensor &x, int stride = 1, int before = 1, int after = -1) {
        const auto &[shape, kernel] = weight(name + ".weight");
        const auto &bias = weight(name + ".bias").second;
        const int out = shape[0], in = shape[1], size = shape[2];
        if (after < 0) after = before;
        Tensor y(out, (x.height + before + after - size) / stride + 1, (x.width + before + after - size) / stride + 1);
        for (int o = 0; o < out; o++) {
            float *plane = y.channel(o);
            std::fill(plane, plane + y.area(), bias[o]);
            for (int i = 0; i < in; i++)
                for (int ky = 0; ky < size; ky++)
                    for (int kx = 0; kx < size; kx++) {
                        const float w = kernel[((size_t(o) * in + i) * size + ky) * size + kx];
                        for (int row = 0; row < y.height; row++) {
                            const int from = row * stride + ky - before;
                            if (from < 0 || from >= x.height) continue;
                            const float *source = x.channel(i) + size_t(from) * x.width;
                            float *target = plane + size_t(row) * y.width;
                            // Columns whose source lies inside the picture.
                            const int shift = kx - before;
                            const int first = shift < 0 ? (-shift + stride - 1) / stride : 0;
                            const int last = x.width > shift ? std::min(y.width - 1, (x.width - 1 - shift) / stride) : -1;
                            for (int column = first; column <= last; column++)
                                target[column] += w * source[column * stride + shift];
                        }
                    }
        }
        return record(name, y);
    }

    Tensor norm(const std::string &name, const Tensor &x, bool flat = false) {
        const auto &scale = weight(name + ".weight").second, &bias = weight(name + ".bias").second;
        const double eps = fault == "eps" ? 1e-5 : 1e-6;
        const int groups = config["norm_num_groups"].integer(), per_group = x.channels / groups;
        Tensor y(x.channels, x.height, x.width);
        for (int group = 0; group < groups; group++) {
            const size_t count = size_t(per_group) * x.area();
            const float *values = x.channel(group * per_group);
            const double mean = std::accumulate(values, values + count, 0.0) / count;
            double squares = 0;
            for (size_t i = 0; i < count; i++) squares += (values[i] - mean) * (values[i] - mean);
            const double factor = 1 / std::sqrt(squares / count + eps);
            for (int c = group * per_group; c < (group + 1) * per_group; c++)
                for (int i = 0; i < x.area(); i++)
                    y.channel(c)[i] = float((x.channel(c)[i] - mean) * factor * scale[c] + bias[c]);
        }
        record(name, y);
        if (flat) trace[name].first = {1, x.channels, x.area()};  // inside attention
        return y;
    }

    static Tensor activated(Tensor x, const std::string &kind) {
        for (float &value : x.values) {
            const double v = value;
            if (kind == "relu") value = float(std::max(v, 0.0));
            else if (kind == "gelu") value = float(v * 0.5 * (1 + std::erf(v / std::sqrt(2.0))));
            else if (kind == "mish") value = float(v * std::tanh(std::log1p(std::exp(v))));
            else value = float(v / (1 + std::exp(-v)));  // silu, also called swish
        }
        return x;
    }

    Tensor resnet(const std::string &name, const Tensor &x) {
        const std::string &act = config["act_fn"].text;
        Tensor h = conv(name + ".conv1", activated(norm(name + ".norm1", x), act));
        h = conv(name + ".conv2", activated(norm(name + ".norm2", h), act));
        const bool shortcut = fs::exists(weights / (name + ".conv_shortcut.weight.npy"));
        const Tensor base = shortcut ? conv(name + ".conv_shortcut", x, 1, 0) : x;
        for (size_t i = 0; i < h.values.size(); i++) h.values[i] += base.values[i];
        return record(name, h);
    }

    // (tokens, channels) times the transposed weight, plus bias.
    std::vector<float> linear(const std::string &name, const std::vector<float> &tokens, int channels) {
        const auto &matrix = weight(name + ".weight").second, &bias = weight(name + ".bias").second;
        const int count = int(tokens.size()) / channels;
        std::vector<float> y(tokens.size());
        for (int t = 0; t < count; t++)
            for (int o = 0; o < channels; o++) {
                double sum = bias[o];
                for (int i = 0; i < channels; i++) sum += double(matrix[o * channels + i]) * tokens[t * channels + i];
                y[t * channels + o] = float(sum);
            }
        trace[name] = {{1, count, channels}, y};
        return y;
    }

    Tensor attention(const std::string &name, const Tensor &x) {
        const int channels = x.channels, count = x.area();
        const Tensor normed = norm(name + ".group_norm", x, true);
        std::vector<float> tokens(normed.values.size()), mixed(tokens.size());
        for (size_t i = 0; i < tokens.size(); i++) tokens[i % count * channels + i / count] = normed.values[i];
        const auto q = linear(name + ".to_q", tokens, channels), k = linear(name + ".to_k", tokens, channels),
                   v = linear(name + ".to_v", tokens, channels);
        const double scale = fault == "no-attention-scale" ? 1 : 1 / std::sqrt(double(channels));
        for (int t = 0; t < count; t++) {
            std::vector<double> row(count), sum(channels, 0.0);
            for (int s = 0; s < count; s++)
                for (int c = 0; c < channels; c++) row[s] += double(q[t * channels + c]) * k[s * channels + c] * scale;
            const double most = *std::max_element(row.begin(), row.end());
            double total = 0;
            for (double &value : row) total += value = std::exp(value - most);
            for (int s = 0; s < count; s++)
                for (int c = 0; c < channels; c++) sum[c] += row[s] / total * v[s * channels + c];
            for (int c = 0; c < channels; c++) mixed[t * channels + c] = float(sum[c]);
        }
        const auto out = linear(name + ".to_out.0", mixed, channels);
        Tensor y = x;
        for (size_t i = 0; i < tokens.size(); i++) y.values[i] += out[i % count * channels + i / count];
        return record(name, y);
    }

    Tensor mid_block(const std::string &name, Tensor x) {
        x = resnet(name + ".resnets.0", x);
        if (config["mid_block_add_attention"].yes()) x = attention(name + ".attentions.0", x);
        return record(name, resnet(name + ".resnets.1", x));
    }

    Tensor downsample(const std::string &name, const Tensor &x) {
        return record(name, conv(name + ".conv", x, 2, fault == "symmetric-padding" ? 1 : 0, 1));
    }

    Tensor upsample(const std::string &name, const Tensor &x) {
        Tensor larger(x.channels, 2 * x.height, 2 * x.width);
        const int width = larger.width;
        for (int c = 0; c < x.channels; c++)
            for (int i = 0; i < larger.area(); i++)
                larger.channel(c)[i] = x.channel(c)[i / width / 2 * x.width + i % width / 2];
        return record(name, conv(name + ".conv", larger));
    }
};

// ---- Cases

void run(const fs::path &inputs, const fs::path &out, const std::string &fault) {
    const Json listing = read_json(inputs / "cases.json");
    for (const Json &entry : listing["cases"].list) {
        if (entry.has("optional")) continue;  // f16, bf16, tiles and slices: not here
        const Json &files = entry["inputs"];
        const Tensor sample = read_tensor(inputs / files["sample"]["npy"].text);
        AutoencoderKL vae(inputs / "models" / entry["model"].text, fault);
        const Tensor moments = vae.encode(sample);
        Tensor noise;
        if (files.has("noise")) noise = read_tensor(inputs / files["noise"]["npy"].text);
        Tensor latents = read_tensor(inputs / files["scaled_latents"]["npy"].text);
        for (float &latent : latents.values) latent /= vae.scaling();
        const Tensor decoded = vae.decode(latents);
        const fs::path folder = out / entry["name"].text;
        fs::create_directories(folder);
        const Tensor scaled = vae.scaled_latents(moments, files.has("noise") ? &noise : nullptr);
        write_safetensors(folder / "moments.safetensors", {{"moments", {moments.shape(), moments.values}}});
        write_safetensors(folder / "latents.safetensors", {{"latents", {scaled.shape(), scaled.values}}});
        write_safetensors(folder / "decoded.safetensors", {{"decoded", {decoded.shape(), decoded.values}}});
        write_safetensors(folder / "trace.safetensors", vae.trace);
        std::cout << entry["name"].text << std::endl;
    }
}

int main(int count, char **arguments) try {
    if (count < 3 || count > 4) throw std::runtime_error("expected INPUTS OUT [FAULT]");
    run(arguments[1], arguments[2], count == 4 ? arguments[3] : "");
    return 0;
} catch (const std::exception &error) {
    std::cerr << "error: " << error.what() << std::endl;
    return 2;
}
