//! `golden/tolerances.json` follows from `golden/spread.json`, figure by figure: a row that was loosened
//! by hand is found. Derived here from what `golden/README.md` says, in exact decimal arithmetic.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::Path;

use safetensors::SafeTensors;
use serde_json::{Value, json};
use vae_fidelity::Dtype;
use vae_fidelity::golden::Suite;

/// Models that share rows of their own in f32, and the tensors that they have them for.
const GROUPS: [(&[&str], &[&str]); 5] = [
    (&["extreme-logvar"], &["moments", "latents"]),
    (
        &["sd-v1-4", "sd-v2-1", "sdxl", "playground-v2.5"],
        &["moments", "latents", "decoded", "trace"],
    ),
    (&["sd3", "flux1"], &["moments", "latents", "decoded", "trace"]),
    (&["cogview4"], &["moments", "latents", "decoded", "trace"]),
    (&["x4-upscaler"], &["moments", "latents", "decoded", "trace"]),
];
/// The tensors that every model has rows of its own for in f16 and bf16.
const OWN_IN_16_BITS: [&str; 3] = ["moments", "latents", "decoded"];

fn margin(dtype: Dtype) -> u64 {
    if dtype == Dtype::F32 { 8 } else { 3 }
}

fn read(file: &str) -> Value {
    serde_json::from_str(&fs::read_to_string(Path::new("golden").join(file)).unwrap()).unwrap()
}

/// A number as JSON writes it: an integer times a power of ten.
#[derive(Clone, Copy)]
struct Decimal {
    digits: u64,
    exponent: i32,
}

impl Decimal {
    fn new(value: f64) -> Self {
        let text = format!("{value:e}");
        let (digits, exponent) = text.split_once('e').unwrap();
        let (whole, fraction) = digits.split_once('.').unwrap_or((digits, ""));
        Self {
            digits: format!("{whole}{fraction}").parse().unwrap(),
            exponent: exponent.parse::<i32>().unwrap() - fraction.len() as i32,
        }
    }

    fn times(self, factor: u64) -> Self {
        Self { digits: self.digits * factor, ..self }
    }

    /// To two digits, away from zero.
    fn rounded_up(mut self) -> f64 {
        let mut cut = false;
        while self.digits >= 100 {
            cut |= !self.digits.is_multiple_of(10);
            self = Self { digits: self.digits / 10, exponent: self.exponent + 1 };
        }
        format!("{}e{}", self.digits + u64::from(cut), self.exponent).parse().unwrap()
    }

    fn to_f64(self) -> f64 {
        format!("{}e{}", self.digits, self.exponent).parse().unwrap()
    }
}

/// What one row is about: dtype, tensor, and the model if it has one of its own.
type About = (String, String, Option<String>);

/// A line of the table of measurements.
#[derive(Clone)]
struct Measured {
    named: String,
    max_abs: f64,
    excess: f64,
    share: f64,
}

/// The models that have a row of their own for this, each the same; `None` for the row of all.
fn models(dtype: Dtype, tensor: &str, model: &str) -> Vec<Option<String>> {
    let own: &[&str] = match dtype {
        Dtype::F32 => GROUPS
            .iter()
            .find(|(models, tensors)| models.contains(&model) && tensors.contains(&tensor))
            .map_or(&[], |(models, _)| models),
        _ if OWN_IN_16_BITS.contains(&tensor) => &[model],
        _ => &[],
    };
    if own.is_empty() { vec![None] } else { own.iter().map(|own| Some((*own).into())).collect() }
}

/// Rows of all models come from those of `AutoencoderKL`, of which nearly all are.
fn is_of_all(model: &str) -> bool {
    let folders =
        ["models", "tiny/models", "asymmetric/models", "wan/models", "dc/models", "hunyuan/models"]
            .map(|models| format!("{models}/{model}/vae"));
    let folder = folders.iter().find(|folder| Path::new("golden").join(folder).is_dir()).unwrap();
    let config = read(&format!("{folder}/config.json"));
    config.get("_class_name").is_none_or(|class| class == "AutoencoderKL")
}

/// A GPU's rows are from what CPUs did, and it.
struct Table {
    cpu: BTreeMap<About, Vec<Measured>>,
    cuda: BTreeMap<About, Vec<Measured>>,
    sizes: BTreeMap<About, f64>,
}

impl Table {
    fn new(spread: &Value) -> Self {
        let suite = Suite::open("golden").unwrap();
        let abouts = |case: &Value, tensor: &str| -> Vec<About> {
            let found = suite.cases().iter().find(|one| one.name == case.as_str().unwrap());
            let (dtype, model) = found.map(|case| (case.dtype, &case.model)).unwrap();
            let mut own = models(dtype, tensor, model);
            if own == [None] && !is_of_all(model) {
                own = vec![Some(model.clone())];
            }
            let own = own.into_iter();
            own.map(|model| (dtype.to_string(), tensor.to_owned(), model)).collect()
        };
        let measured = |tables: &[&str]| {
            let mut measured: BTreeMap<About, Vec<Measured>> = BTreeMap::new();
            for row in tables.iter().flat_map(|table| spread[table].as_array().unwrap()) {
                let layer = row[1].as_str().unwrap();
                let number = |at: usize| row[at].as_f64().unwrap();
                for about in abouts(&row[0], layer.split(' ').next().unwrap()) {
                    measured.entry(about).or_default().push(Measured {
                        named: format!("{} / {layer}", row[0].as_str().unwrap()),
                        max_abs: number(2),
                        excess: number(3),
                        share: number(4),
                    });
                }
            }
            measured
        };
        let (cpu, mut cuda) = (measured(&["rows"]), measured(&["rows", "cuda"]));
        cuda.retain(|(_, tensor, _), _| !["sample", "noise"].contains(&tensor.as_str()));
        let mut sizes = BTreeMap::new();
        for row in spread["sizes"].as_array().unwrap() {
            for about in abouts(&row[0], row[1].as_str().unwrap()) {
                let size: &mut f64 = sizes.entry(about).or_default();
                *size = size.max(row[2].as_f64().unwrap());
            }
        }
        let mut table = Self { cpu, cuda, sizes };
        table.cpu = table.needed(&table.cpu);
        table.cuda = table.needed(&table.cuda);
        table
    }

    /// Those of `measured` that a row follows from: a model of another class has none of its own where the
    /// row of all models lets through as much.
    fn needed(&self, measured: &BTreeMap<About, Vec<Measured>>) -> BTreeMap<About, Vec<Measured>> {
        let is_needed = |(dtype, tensor, model): &About, rows: &[Measured]| {
            let about_all = (dtype.clone(), tensor.clone(), None);
            let own = serde_json::from_value(json!(dtype)).unwrap();
            let (Some(model), Some(of_all)) = (model, measured.get(&about_all)) else {
                return true;
            };
            if models(own, tensor, model) != [None] {
                return true;
            }
            let about = (dtype.clone(), tensor.clone(), Some(model.clone()));
            let (mine, of_all) = (self.figures(&about, rows), self.figures(&about_all, of_all));
            let looser = |name: &str| {
                let of = |figures: &[(&str, f64)]| {
                    figures.iter().find(|(of, _)| *of == name).map_or(0.0, |found| found.1)
                };
                of(&mine) > of(&of_all)
            };
            ["atol", "rtol", "share"].into_iter().any(looser)
        };
        let needed = measured.iter().filter(|(about, rows)| is_needed(about, rows));
        needed.map(|(about, rows)| (about.clone(), rows.clone())).collect()
    }

    /// The figures that a row has to have.
    fn figures(&self, about: &About, rows: &[Measured]) -> Vec<(&'static str, f64)> {
        let (_, tensor, _) = about;
        let dtype: Dtype = serde_json::from_value(json!(about.0)).unwrap();
        let worst = |of: fn(&Measured) -> f64| rows.iter().map(of).fold(0.0, f64::max);
        let (max_abs, excess) = (worst(|row| row.max_abs), worst(|row| row.excess));
        let widened = |value| Decimal::new(value).times(margin(dtype)).rounded_up();
        if tensor == "decoded_rgb8" {
            let share = widened(worst(|row| row.share).max(1e-3)).min(1.0);
            return vec![("atol", max_abs.max(1.0)), ("rtol", 0.0), ("share", share)];
        }
        if dtype == Dtype::F32 || tensor == "sample" {
            let rtol = if max_abs > 0.0 { 8e-5 } else { 0.0 };
            return vec![("atol", widened(excess)), ("rtol", rtol)];
        }
        let (units, size) = (margin(dtype), self.sizes.get(about).copied().unwrap_or(1.0));
        let step = dtype.epsilon() * 2f64.powi(size.log2().floor() as i32);
        let at_sums = Decimal::new(excess).times(units).to_f64() / step;
        let sum_units = at_sums.ceil().max(1.0);
        vec![
            ("atol", sum_units * step),
            ("rtol", units as f64 * dtype.epsilon()),
            ("ulps", units as f64),
            ("sum_ulps", sum_units),
            ("sum_size", size),
        ]
    }

    /// Every row of `tolerances` that does not follow from the table, and every one that it lacks.
    fn wrong(&self, tolerances: &Value) -> Vec<String> {
        let mut wrong = Vec::new();
        let mut found = BTreeSet::new();
        for row in tolerances["rows"].as_array().unwrap() {
            let text = |field: &str| row[field].as_str().map(str::to_owned);
            let about = (text("dtype").unwrap(), text("tensor").unwrap(), text("model"));
            let device = text("device").unwrap();
            let said = format!("{about:?} on {device}");
            let measured = if device == "cuda" { &self.cuda } else { &self.cpu };
            let rows = measured.get(&about);
            let Some(rows) = rows.filter(|_| found.insert((about.clone(), device))) else {
                wrong.push(format!("{said}: there twice, or not measured"));
                continue;
            };
            let figures = self.figures(&about, rows);
            for field in ["atol", "rtol", "share", "ulps", "sum_ulps", "sum_size"] {
                let expected = figures.iter().find(|(name, _)| *name == field).map(|found| found.1);
                if row[field].as_f64() != expected {
                    wrong.push(format!("{said}: {field} {}, expected {expected:?}", row[field]));
                }
            }
            if let Some(named) = row["measured_row"].as_str() {
                let named = rows.iter().filter(|measured| measured.named == named);
                let (most, of) = match about.1.as_str() {
                    "decoded_rgb8" => ("share", (|row| row.share) as fn(&Measured) -> f64),
                    _ => ("excess", (|row| row.excess) as fn(&Measured) -> f64),
                };
                let most_of =
                    |rows: &mut dyn Iterator<Item = &Measured>| rows.map(of).reduce(f64::max);
                if most_of(&mut named.into_iter()) != most_of(&mut rows.iter()) {
                    wrong.push(format!("{said}: measured_row is not the one of most {most}"));
                }
            }
        }
        for (device, measured) in [("cpu", &self.cpu), ("cuda", &self.cuda)] {
            for about in measured.keys() {
                if !found.remove(&(about.clone(), device.to_owned())) {
                    wrong.push(format!("{about:?} on {device}: no row"));
                }
            }
        }
        wrong.extend(found.iter().map(|(about, device)| format!("{about:?} on {device}: why?")));
        wrong
    }
}

#[test]
fn every_tolerance_follows_from_the_measurements() {
    let wrong = Table::new(&read("spread.json")).wrong(&read("tolerances.json"));
    assert!(wrong.is_empty(), "{wrong:#?}");
}

/// The test above proves nothing if it lets one figure be another.
#[test]
fn a_row_that_is_loosened_by_hand_is_found() {
    let (table, tolerances) = (Table::new(&read("spread.json")), read("tolerances.json"));
    for at in 0..tolerances["rows"].as_array().unwrap().len() {
        for field in ["atol", "rtol", "share", "ulps", "sum_ulps", "sum_size"] {
            let before = &tolerances["rows"][at][field];
            let mut edited = tolerances.clone();
            edited["rows"][at][field] = json!(before.as_f64().unwrap_or(0.0) * 1.01 + 1e-9);
            assert!(!table.wrong(&edited).is_empty(), "row {at}: {field} {before}");
        }
        let mut edited = tolerances.clone();
        let row = edited["rows"].as_array_mut().unwrap().remove(at);
        assert!(!table.wrong(&edited).is_empty(), "row {at} removed");
        edited["rows"].as_array_mut().unwrap().extend([row.clone(), row]);
        assert!(!table.wrong(&edited).is_empty(), "row {at} twice");
    }
}

/// The sizes that units in the last place are taken at, from the goldens themselves.
#[test]
fn sizes_are_the_goldens_standard_deviations() {
    let (spread, suite) = (read("spread.json"), Suite::open("golden").unwrap());
    let mut halves: BTreeSet<&str> = suite
        .cases()
        .iter()
        .filter(|case| case.dtype != Dtype::F32 && case.device == "cpu")
        .map(|case| case.name.as_str())
        .collect();
    for row in spread["sizes"].as_array().unwrap() {
        let (case, tensor) = (row[0].as_str().unwrap(), row[1].as_str().unwrap());
        let file = if tensor == "decoded" { "decoded" } else { "latents" };
        let folders = [
            "golden/cases",
            "golden/tiny/cases",
            "golden/asymmetric/cases",
            "golden/wan/cases",
            "golden/dc/cases",
            "golden/hunyuan/cases",
        ]
        .into_iter();
        let mut files = folders.map(|cases| format!("{cases}/{case}/{file}.safetensors"));
        let bytes = fs::read(files.find(|file| Path::new(file).is_file()).unwrap()).unwrap();
        let tensors = SafeTensors::deserialize(&bytes).unwrap();
        let values = tensors.tensor(tensor).unwrap().data().chunks_exact(4);
        let values: Vec<f64> =
            values.map(|four| f32::from_le_bytes(four.try_into().unwrap()).into()).collect();
        let mean = values.iter().sum::<f64>() / values.len() as f64;
        let squares: f64 = values.iter().map(|value| (value - mean).powi(2)).sum();
        let std = (squares / values.len() as f64).sqrt();
        approx::assert_relative_eq!(row[2].as_f64().unwrap(), std, max_relative = 0.005);
        halves.remove(case);
    }
    assert!(halves.is_empty(), "no sizes of {halves:?}");
}

/// A machine that rounds a value the other way is one step off; no 16-bit tolerance may refuse that.
#[test]
fn one_step_of_a_16_bit_type_is_always_within_tolerance() {
    let mut seen = 0;
    for row in read("tolerances.json")["rows"].as_array().unwrap() {
        let dtype: Dtype = serde_json::from_value(row["dtype"].clone()).unwrap();
        let exact = ["sample", "decoded_rgb8"].contains(&row["tensor"].as_str().unwrap());
        if dtype == Dtype::F32 || exact {
            continue;
        }
        let allowed = |value: f64| {
            row["atol"].as_f64().unwrap() + row["rtol"].as_f64().unwrap() * value.abs()
        };
        for power in -14..=15 {
            let binade = 2f64.powi(power);
            for value in [binade, binade * 1.4, binade * (2.0 - dtype.epsilon())] {
                assert!(allowed(value) >= dtype.epsilon() * binade, "{row} at {value}");
            }
        }
        seen += 1;
    }
    assert!(seen >= 20, "{seen} rows");
}
