//! A graph with tensors in place of shapes.

use super::clips::{CausalConv3d, RmsNorm, TimeConv};
use super::module::{
    Attention, Body, Conv2d, ConvAttention, GroupNorm, Linear, Module, MultiscaleAttention,
    QkvAttention, Residual, Step,
};
use super::parameter::Parameter;
use super::shuffles::{BatchNorm2d, GroupedConv2d, RmsNormOfPixels};

/// Called with the checkpoint key and the shape of a tensor.
pub type Load<'a, V, E> = &'a mut dyn FnMut(&str, &[usize]) -> Result<V, E>;

impl<W> Module<W> {
    /// The same module with what `load` gives for each tensor.
    ///
    /// # Errors
    ///
    /// Returns the first error of `load`.
    pub fn try_map<V, E>(&self, load: Load<V, E>) -> Result<Module<V>, E> {
        let mut parameter = |leaf: &str, of: &Parameter<W>| loaded(&self.name, leaf, of, load);
        let body = match &self.body {
            Body::Conv2d(Conv2d { weight, bias, stride, padding }) => Body::Conv2d(Conv2d {
                weight: parameter("weight", weight)?,
                bias: bias.as_ref().map(|bias| parameter("bias", bias)).transpose()?,
                stride: *stride,
                padding: *padding,
            }),
            Body::GroupNorm(GroupNorm { weight, bias, num_groups, eps }) => {
                Body::GroupNorm(GroupNorm {
                    weight: parameter("weight", weight)?,
                    bias: parameter("bias", bias)?,
                    num_groups: *num_groups,
                    eps: *eps,
                })
            }
            Body::Linear(Linear { weight, bias }) => Body::Linear(Linear {
                weight: parameter("weight", weight)?,
                bias: bias.as_ref().map(|bias| parameter("bias", bias)).transpose()?,
            }),
            Body::GroupedConv2d(GroupedConv2d { weight, bias, groups }) => {
                Body::GroupedConv2d(GroupedConv2d {
                    weight: parameter("weight", weight)?,
                    bias: bias.as_ref().map(|bias| parameter("bias", bias)).transpose()?,
                    groups: *groups,
                })
            }
            Body::RmsNormOfPixels(RmsNormOfPixels { weight, bias, eps }) => {
                Body::RmsNormOfPixels(RmsNormOfPixels {
                    weight: parameter("weight", weight)?,
                    bias: parameter("bias", bias)?,
                    eps: *eps,
                })
            }
            Body::BatchNorm2d(BatchNorm2d { weight, bias, running_mean, running_var, eps }) => {
                Body::BatchNorm2d(BatchNorm2d {
                    weight: parameter("weight", weight)?,
                    bias: parameter("bias", bias)?,
                    running_mean: parameter("running_mean", running_mean)?,
                    running_var: parameter("running_var", running_var)?,
                    eps: *eps,
                })
            }
            Body::MultiscaleAttention(attention) => {
                let mut map = |module: &Module<W>| module.try_map(load);
                let MultiscaleAttention {
                    to_q,
                    to_k,
                    to_v,
                    to_qkv_multiscale,
                    to_out,
                    norm_out,
                    head_dim,
                } = &**attention;
                Body::MultiscaleAttention(Box::new(MultiscaleAttention {
                    to_q: map(to_q)?,
                    to_k: map(to_k)?,
                    to_v: map(to_v)?,
                    to_qkv_multiscale: to_qkv_multiscale
                        .iter()
                        .map(&mut map)
                        .collect::<Result<_, _>>()?,
                    to_out: map(to_out)?,
                    norm_out: map(norm_out)?,
                    head_dim: *head_dim,
                }))
            }
            Body::Sequence(steps) => Body::Sequence(try_map_steps(steps, load)?),
            Body::Residual(residual) => Body::Residual(residual.try_map(load)?),
            Body::Attention(attention) => {
                let Attention { group_norm, to_q, to_k, to_v, to_out } = &**attention;
                Body::Attention(Box::new(Attention {
                    group_norm: group_norm.try_map(load)?,
                    to_q: to_q.try_map(load)?,
                    to_k: to_k.try_map(load)?,
                    to_v: to_v.try_map(load)?,
                    to_out: to_out.try_map(load)?,
                }))
            }
            Body::CausalConv3d(CausalConv3d { weight, bias, padding }) => {
                Body::CausalConv3d(CausalConv3d {
                    weight: parameter("weight", weight)?,
                    bias: parameter("bias", bias)?,
                    padding: *padding,
                })
            }
            Body::RmsNorm(RmsNorm { gamma }) => {
                Body::RmsNorm(RmsNorm { gamma: parameter("gamma", gamma)? })
            }
            Body::QkvAttention(attention) => {
                let QkvAttention { norm, to_qkv, proj } = &**attention;
                Body::QkvAttention(Box::new(QkvAttention {
                    norm: norm.try_map(load)?,
                    to_qkv: to_qkv.try_map(load)?,
                    proj: proj.try_map(load)?,
                }))
            }
            Body::ConvAttention(attention) => {
                let ConvAttention { norm, to_q, to_k, to_v, proj } = &**attention;
                Body::ConvAttention(Box::new(ConvAttention {
                    norm: norm.try_map(load)?,
                    to_q: to_q.try_map(load)?,
                    to_k: to_k.try_map(load)?,
                    to_v: to_v.try_map(load)?,
                    proj: proj.try_map(load)?,
                }))
            }
            Body::AvgDown3D(shortcut) => Body::AvgDown3D(*shortcut),
            Body::DupUp3D(shortcut) => Body::DupUp3D(*shortcut),
        };
        Ok(Module { name: self.name.clone(), class: self.class, body })
    }
}

/// A tensor of `module`.
fn loaded<W, V, E>(
    module: &str,
    leaf: &str,
    of: &Parameter<W>,
    load: Load<V, E>,
) -> Result<Parameter<V>, E> {
    let value = load(&format!("{module}.{leaf}"), &of.shape)?;
    Ok(Parameter { shape: of.shape.clone(), value })
}

impl<W> Residual<W> {
    fn try_map<V, E>(&self, load: Load<V, E>) -> Result<Residual<V>, E> {
        Ok(Residual {
            hidden: try_map_steps(&self.hidden, load)?,
            shortcut: match &self.shortcut {
                Some(shortcut) => Some(Box::new(shortcut.try_map(load)?)),
                None => None,
            },
            shortcut_functions: self.shortcut_functions.clone(),
            order: self.order,
        })
    }
}

impl<W> TimeConv<W> {
    fn try_map<V, E>(&self, load: Load<V, E>) -> Result<TimeConv<V>, E> {
        let mut parameter = |leaf: &str, of: &Parameter<W>| loaded(&self.name, leaf, of, load);
        Ok(TimeConv {
            name: self.name.clone(),
            weight: parameter("weight", &self.weight)?,
            bias: parameter("bias", &self.bias)?,
            sampling: self.sampling,
        })
    }
}

fn try_map_steps<W, V, E>(steps: &[Step<W>], load: Load<V, E>) -> Result<Vec<Step<V>>, E> {
    let map = |step: &Step<W>| match step {
        Step::Module(module) => module.try_map(load).map(Step::Module),
        Step::Function(function) => Ok(Step::Function(*function)),
        Step::Residual(residual) => residual.try_map(load).map(Step::Residual),
        Step::TimeConv(conv) => conv.try_map(load).map(Step::TimeConv),
    };
    steps.iter().map(map).collect()
}
