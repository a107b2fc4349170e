//! The model zoo: the detectors that TFOD's authors trained and published, as a table of facts.
//!
//! The table is `assets/model_zoo.tsv`, one line a model. What can be trained from a model is not written there, it is
//! found out: a config with nothing but the model's architecture, feature extractor and head is put before
//! [`check`](crate::check), so a model becomes trainable on the day when the check honours what it is made of.
//!
//! Nothing is downloaded in here; that is the cloud room's business.

use std::sync::OnceLock;

use boxwright_core::Severity;
use serde::Serialize;

use crate::check::{DatasetFacts, check};
use crate::pipeline::Pipeline;
use crate::proto::detection_model::Model;
use crate::template::{TemplateValues, pipeline_from_template, template_names};
use crate::text_format::bind::suggestion;

/// The folder below which TFOD publishes its archives.
pub const PUBLISHED_BELOW: &str = "https://download.tensorflow.org/models/object_detection/";

/// Which TensorFlow a model was published for; its checkpoint and its config follow from that.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Generation {
    /// TensorFlow 1: checkpoints by variable names, a frozen graph.
    Tf1,
    /// TensorFlow 2: checkpoints of Keras objects, a SavedModel.
    Tf2,
}

impl std::fmt::Display for Generation {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::Tf1 => "tf1",
            Self::Tf2 => "tf2",
        })
    }
}

/// One published model.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct ZooModel {
    /// What it is fetched by; for TF2 the archive's own name.
    pub name: &'static str,
    /// The zoo's words for it, where they are not the name.
    pub title: Option<&'static str>,
    /// The TensorFlow it is for.
    pub generation: Generation,
    /// What it was trained on: `coco`, `kitti`, `open-images`, `inaturalist`, `ava`, `snapshot-serengeti`.
    pub dataset: &'static str,
    /// Milliseconds for one image, as published.
    pub speed_ms: Option<f64>,
    /// Where that was measured: `gpu`, or a phone like `pixel1` or `pixel4-edgetpu`.
    pub device: Option<&'static str>,
    /// Average precision of its boxes in percent, as published.
    pub map: Option<f64>,
    /// By which protocol: `coco`, `coco@.5`, `pascal`, `open-images`, `open-images-challenge`.
    pub metric: &'static str,
    /// Further average precisions in percent: of `masks`, of `keypoints`, of the `uint8` model.
    pub other: Vec<(&'static str, f64)>,
    /// What it finds: `boxes`, `masks`, `keypoints`.
    pub outputs: Vec<&'static str>,
    /// Input in pixels: `HEIGHTxWIDTH`, or `SHORT-LONG` where the picture keeps its shape.
    pub input: Option<&'static str>,
    /// The meta-architecture by its field in the config: `ssd`, `faster_rcnn`, `center_net`; none where TFOD has no config.
    pub architecture: Option<&'static str>,
    /// The feature extractor's `type` in the config.
    pub feature_extractor: Option<&'static str>,
    /// Box predictor, and what it has besides: `mask_rcnn+masks`.
    pub head: Option<&'static str>,
    /// Where the archive lies below [`PUBLISHED_BELOW`], or its whole address.
    pub archive: &'static str,
    /// Size of the archive in bytes, where known.
    pub bytes: Option<u64>,
    /// Digest of the archive as `sha256:HEX` or `sha384:HEX`, where known.
    pub digest: Option<&'static str>,
}

/// What can be trained here from a published model.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Training {
    /// Its architecture, with our template of this name.
    Template(&'static str),
    /// Its architecture, with the config that comes with it.
    OwnConfig,
    /// Nothing: the fields that cannot be honoured, each with its reason.
    Refused(Vec<String>),
}

/// Why a model is not in the zoo.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the zoo has no model `{name}`: {hint}")]
pub struct UnknownModel {
    /// What was asked for.
    pub name: String,
    /// The nearest name, or where to find them.
    pub hint: String,
}

/// Which models are wanted. The default wants all.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Filter {
    /// Only of this generation.
    pub generation: Option<Generation>,
    /// Only trained on this data set.
    pub dataset: Option<String>,
    /// Only as quick as this.
    pub max_ms: Option<f64>,
    /// Only as good as this.
    pub min_map: Option<f64>,
    /// Only those from which something can be trained here.
    pub trainable: bool,
    /// Only with all these words in name, title, extractor or outputs, in any case.
    pub words: Vec<String>,
}

impl ZooModel {
    /// The archive's file name.
    pub fn archive_name(&self) -> &'static str {
        self.archive.rsplit('/').next().unwrap_or(self.archive)
    }

    /// The folder that the model is unpacked into: the archive's name without its ending, but never that of another model.
    pub fn folder_name(&self) -> &'static str {
        match self.generation {
            Generation::Tf1 => self.archive_name().strip_suffix(".tar.gz").unwrap_or(self.name),
            Generation::Tf2 => self.name,
        }
    }

    /// Where the archive lies below the folder of the published ones, if it lies there.
    pub fn path_below(&self) -> Option<&'static str> {
        (!self.archive.contains("://")).then_some(self.archive)
    }

    /// The published address of the archive.
    pub fn url(&self) -> String {
        match self.path_below() {
            Some(path) => format!("{PUBLISHED_BELOW}{path}"),
            None => self.archive.to_owned(),
        }
    }

    /// What can be trained from it here.
    pub fn training(&self) -> Training {
        let Some(probe) = self.probe() else {
            return Training::Refused(vec!["TFOD has no pipeline config for it".into()]);
        };
        let refusals = match Pipeline::parse(&probe, "the model's kind") {
            Ok(pipeline) => check(&pipeline, &DatasetFacts::default())
                .into_iter()
                .filter(|problem| problem.severity == Severity::Error && problem.code.starts_with("unsupported-"))
                .map(|problem| problem.message)
                .collect(),
            Err(error) => vec![error.to_string()],
        };
        if !refusals.is_empty() {
            return Training::Refused(refusals);
        }
        // Several templates may have one network, as SSD and SSDLite do: the one that is named like the model.
        let alike = |template: &str| template.bytes().zip(self.name.bytes()).take_while(|(a, b)| a == b).count();
        let own = (self.architecture, self.feature_extractor);
        let kinds = kinds_of_templates().iter().filter(|kind| (Some(kind.1), Some(kind.2.as_str())) == own);
        match kinds.max_by_key(|kind| alike(kind.0)) {
            Some((template, _, _)) => Training::Template(template),
            None => Training::OwnConfig,
        }
    }

    /// Whether anything can be trained from it here.
    pub fn trainable(&self) -> bool {
        !matches!(self.training(), Training::Refused(_))
    }

    /// A config that says what the model is made of and nothing else.
    fn probe(&self) -> Option<String> {
        let extractor = self.feature_extractor?;
        let (head, more) = self.head.map_or((None, ""), |head| match head.split_once('+') {
            Some((head, more)) => (Some(head), more),
            None => (Some(head), ""),
        });
        let predictor = |inner: &str| head.map_or(String::new(), |h| format!("{h}_box_predictor {{ {inner} }}"));
        let body = match self.architecture? {
            "ssd" => format!("box_predictor {{ {} }}", predictor("")),
            "faster_rcnn" => {
                let masks = if more == "masks" { "predict_instance_masks: true" } else { "" };
                let context = if more == "context" { "context_config { }" } else { "" };
                format!("second_stage_box_predictor {{ {} }} {context}", predictor(masks))
            }
            "center_net" if head == Some("keypoints") => "keypoint_estimation_task { }".into(),
            _ => String::new(),
        };
        let architecture = self.architecture?;
        Some(format!("model {{ {architecture} {{ feature_extractor {{ type: \"{extractor}\" }} {body} }} }}"))
    }

    /// Whether a filter lets it through.
    fn passes(&self, filter: &Filter) -> bool {
        let text = || {
            let parts = [self.name, self.title.unwrap_or(""), self.archive, self.feature_extractor.unwrap_or("")];
            format!("{} {}", parts.join(" "), self.outputs.join(" ")).to_lowercase()
        };
        filter.generation.is_none_or(|wanted| wanted == self.generation)
            && filter.dataset.as_ref().is_none_or(|wanted| wanted.eq_ignore_ascii_case(self.dataset))
            && filter.max_ms.is_none_or(|most| self.speed_ms.is_some_and(|speed| speed <= most))
            && filter.min_map.is_none_or(|least| self.map.is_some_and(|map| map >= least))
            && (filter.words.is_empty() || filter.words.iter().all(|word| text().contains(&word.to_lowercase())))
            && (!filter.trainable || self.trainable())
    }
}

/// All published models, in the order of TFOD's pages.
pub fn models() -> &'static [ZooModel] {
    static MODELS: OnceLock<Vec<ZooModel>> = OnceLock::new();
    MODELS.get_or_init(|| parse(include_str!("../../assets/model_zoo.tsv")).unwrap_or_else(|wrong| panic!("{wrong}")))
}

/// The models that a filter lets through.
pub fn select(filter: &Filter) -> Vec<&'static ZooModel> {
    models().iter().filter(|model| model.passes(filter)).collect()
}

/// The data sets that models were trained on.
pub fn datasets() -> Vec<&'static str> {
    let mut names: Vec<&str> = Vec::new();
    for model in models() {
        if !names.contains(&model.dataset) {
            names.push(model.dataset);
        }
    }
    names
}

/// A model by its name, its title, or its archive's name with or without `.tar.gz`.
///
/// # Errors
/// There is none; the error knows the nearest name.
pub fn find(name: &str) -> Result<&'static ZooModel, UnknownModel> {
    let wanted = name.trim().to_lowercase();
    let wanted = wanted.strip_suffix(".tar.gz").unwrap_or(&wanted);
    let is = |text: &str| text.to_lowercase() == wanted;
    let archive = |model: &ZooModel| model.archive_name().strip_suffix(".tar.gz").is_some_and(is);
    let found = (models().iter().find(|model| is(model.name)))
        .or_else(|| models().iter().find(|model| model.title.is_some_and(is) || archive(model)));
    found.ok_or_else(|| {
        let names: Vec<String> = models().iter().map(|model| model.name.to_owned()).collect();
        let hint = suggestion(wanted, &names).unwrap_or_else(|| "`boxwright zoo list` names them all".into());
        UnknownModel { name: name.chars().take(100).collect(), hint }
    })
}

/// The line that starts a training from a checkpoint, for a config's `train_config`.
pub fn fine_tune_line(checkpoint: &str) -> String {
    format!("fine_tune_checkpoint: {}", crate::text_format::quote(checkpoint))
}

/// Our templates, each with its architecture and its feature extractor.
fn kinds_of_templates() -> &'static [(&'static str, &'static str, String)] {
    static KINDS: OnceLock<Vec<(&str, &str, String)>> = OnceLock::new();
    KINDS
        .get_or_init(|| template_names().filter_map(|name| kind_of_template(name).map(|(a, e)| (name, a, e))).collect())
}

fn kind_of_template(name: &str) -> Option<(&'static str, String)> {
    let text = pipeline_from_template(name, &TemplateValues::default()).ok()?;
    let model = Pipeline::parse(&text, name).ok()?.config.model?.model?;
    match model {
        Model::Ssd(ssd) => Some(("ssd", ssd.feature_extractor?.r#type().to_owned())),
        Model::FasterRcnn(rcnn) => Some(("faster_rcnn", rcnn.feature_extractor?.r#type().to_owned())),
        Model::CenterNet(center) => Some(("center_net", center.feature_extractor?.r#type().to_owned())),
        _ => None,
    }
}

/// The columns of the table, in their order.
const COLUMNS: &str = "name title generation dataset speed device map metric other outputs input architecture \
                       feature_extractor head archive bytes digest";

fn parse(table: &'static str) -> Result<Vec<ZooModel>, String> {
    let mut lines = table.lines().enumerate().filter(|(_, line)| !line.starts_with('#'));
    let header = lines.next().map(|(_, line)| line.split('\t').collect::<Vec<_>>());
    if header != Some(COLUMNS.split_whitespace().collect()) {
        return Err(format!("the model zoo's columns must be: {COLUMNS}"));
    }
    lines
        .map(|(number, line)| {
            parse_line(line).ok_or_else(|| format!("the model zoo's line {} is not a model: {line}", number + 1))
        })
        .collect()
}

fn parse_line(line: &'static str) -> Option<ZooModel> {
    let cells: Vec<&str> = line.split('\t').collect();
    let &[
        name,
        title,
        generation,
        dataset,
        speed,
        device,
        map,
        metric,
        other,
        outputs,
        input,
        architecture,
        feature_extractor,
        head,
        archive,
        bytes,
        digest,
    ] = cells.as_slice()
    else {
        return None;
    };
    let known = |cell: &'static str| (cell != "-").then_some(cell);
    let number =
        |cell: &'static str| known(cell).map(|cell| cell.parse::<f64>().ok()).map_or(Some(None), |n| n.map(Some));
    let pair = |part: &'static str| part.split_once('=').and_then(|(key, value)| Some((key, value.parse().ok()?)));
    Some(ZooModel {
        name,
        title: known(title),
        generation: match generation {
            "tf1" => Generation::Tf1,
            "tf2" => Generation::Tf2,
            _ => return None,
        },
        dataset,
        speed_ms: number(speed)?,
        device: known(device),
        map: number(map)?,
        metric,
        other: known(other).map_or(Some(Vec::new()), |cell| cell.split(',').map(pair).collect())?,
        outputs: outputs.split(',').collect(),
        input: known(input),
        architecture: known(architecture),
        feature_extractor: known(feature_extractor),
        head: known(head),
        archive,
        bytes: known(bytes).map_or(Some(None), |cell| cell.parse().ok().map(Some))?,
        digest: known(digest),
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::HashSet;

    #[test]
    fn the_table_holds_both_zoos_and_every_line_is_sound() {
        let of = |generation| models().iter().filter(|model| model.generation == generation).count();
        assert_eq!((of(Generation::Tf1), of(Generation::Tf2)), (47, 43));
        let names: HashSet<&str> = models().iter().map(|model| model.name).collect();
        let folders: HashSet<&str> = models().iter().map(|model| model.folder_name()).collect();
        let urls: HashSet<String> = models().iter().map(ZooModel::url).collect();
        assert_eq!(
            (names.len(), folders.len(), urls.len()),
            (90, 90, 90),
            "a name, a folder or an address comes twice"
        );
        for model in models() {
            assert!(model.url().starts_with("https://") && model.url().ends_with(".tar.gz"), "{}", model.url());
            assert!(model.speed_ms.is_none_or(|ms| (1.0..2000.0).contains(&ms)), "{}", model.name);
            assert!(model.map.is_none_or(|map| (10.0..90.0).contains(&map)), "{}", model.name);
            assert_eq!(model.speed_ms.is_some(), model.device.is_some(), "{}", model.name);
            if let Some(digest) = model.digest {
                let (kind, hex) = digest.split_once(':').expect("a kind");
                assert_eq!(hex.len(), if kind == "sha384" { 96 } else { 64 }, "{}", model.name);
                assert!(hex.bytes().all(|b| b.is_ascii_hexdigit()), "{}", model.name);
            }
        }
        let v1 = find("ssd_mobilenet_v1_coco").expect("a model");
        assert_eq!((v1.speed_ms, v1.map, v1.input), (Some(30.0), Some(21.0), Some("300x300")));
        let d6 = find("EfficientDet D6 1280x1280").expect("by its title");
        assert_eq!((d6.name, d6.map), ("efficientdet_d6_coco17_tpu-32", Some(50.5)));
        assert!(d6.url().ends_with("/models/object_detection/tf2/20200711/efficientdet_d6_coco17_tpu-32.tar.gz"));
    }

    #[test]
    fn every_architecture_is_one_that_the_schema_knows() {
        for model in models().iter().filter(|model| model.architecture.is_some()) {
            let probe = model.probe().expect("a config");
            Pipeline::parse(&probe, model.name).unwrap_or_else(|error| panic!("{}: {error}", model.name));
        }
    }

    #[test]
    fn what_can_be_trained_is_what_the_check_honours() {
        let v1 = find("ssd_mobilenet_v1_coco").expect("a model");
        assert_eq!(v1.training(), Training::Template("ssd_mobilenet_v1"));
        assert!(matches!(find("extremenet").expect("a model").training(), Training::Refused(why) if why.len() == 1));
        // A kind that TFOD does not have, and one whose head differs from what the template has.
        let unknown = ZooModel { feature_extractor: Some("ssd_no_such_net"), ..v1.clone() };
        assert!(matches!(unknown.training(), Training::Refused(why) if why[0].contains("ssd_no_such_net")));
        let other_head = ZooModel { head: Some("no_such"), ..v1.clone() };
        assert!(!other_head.trainable());
        // Each template that can be trained is of use to somebody: some published model can be its start.
        for (template, architecture, extractor) in kinds_of_templates() {
            let text = pipeline_from_template(template, &TemplateValues::default()).expect("a config");
            let pipeline = Pipeline::parse(&text, template).expect("a config");
            let refused = check(&pipeline, &DatasetFacts::default()).iter().any(|p| p.code.starts_with("unsupported-"));
            let used = models().iter().any(|model| model.training() == Training::Template(template));
            let published = models().iter().any(|model| model.feature_extractor == Some(extractor));
            assert!(
                used || refused || !published,
                "{template} ({architecture}, {extractor}) starts from no published model"
            );
        }
    }

    #[test]
    fn filters_hold_together() {
        let all = select(&Filter::default()).len();
        assert_eq!(all, models().len());
        let quick = Filter { max_ms: Some(30.0), dataset: Some("COCO".into()), ..Filter::default() };
        let found = select(&quick);
        assert!(
            found.len() < all && found.iter().all(|m| m.speed_ms.is_some_and(|ms| ms <= 30.0) && m.dataset == "coco")
        );
        let good = Filter { generation: Some(Generation::Tf2), min_map: Some(50.0), ..Filter::default() };
        let names: Vec<&str> = select(&good).iter().map(|model| model.name).collect();
        assert_eq!(names, ["efficientdet_d6_coco17_tpu-32", "efficientdet_d7_coco17_tpu-32"]);
        let words = Filter { words: vec!["FPNLite".into(), "640".into()], ..Filter::default() };
        assert_eq!(select(&words)[0].name, "ssd_mobilenet_v2_fpnlite_640x640_coco17_tpu-8");
        assert!(
            select(&Filter { trainable: true, ..Filter::default() }).iter().any(|m| m.name == "ssd_mobilenet_v1_coco")
        );
        assert!(datasets().contains(&"open-images"));
    }

    #[test]
    fn names_are_found_by_archive_and_the_nearest_one_is_offered() {
        let by_archive = find("ssd_mobilenet_v2_coco_2018_03_29.tar.gz").expect("by archive");
        assert_eq!(by_archive.name, "ssd_mobilenet_v2_coco");
        assert_eq!(find("ExtremeNet").expect("the name goes first").folder_name(), "extremenet");
        let error = find("ssd_moblenet_v2_coco").expect_err("a slip").to_string();
        assert!(error.contains("did you mean `ssd_mobilenet_v2_coco`?"), "{error}");
        let error = find(&"x".repeat(10_000)).expect_err("nothing near").to_string();
        assert!(error.contains("zoo list") && error.len() < 300, "{error}");
        assert_eq!(fine_tune_line("a \"b\"/model.ckpt"), r#"fine_tune_checkpoint: "a \"b\"/model.ckpt""#);
    }

    #[test]
    fn a_broken_table_is_named_by_its_line() {
        assert!(parse("name\ttitle\n").expect_err("columns").contains("columns"));
        let header: &'static str =
            Box::leak(COLUMNS.split_whitespace().collect::<Vec<_>>().join("\t").into_boxed_str());
        let table: &'static str = Box::leak(format!("# x\n{header}\nonly\tthree\tcells\n").into_boxed_str());
        assert!(parse(table).expect_err("a line").contains("line 3"));
    }
}
