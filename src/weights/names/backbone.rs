//! The layers of the classification networks, under slim's names.

/// A network whose layers other programs have too.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Backbone {
    MobilenetV1,
    MobilenetV2,
    /// ResNet v1 with this many units in each of its four blocks.
    ResnetV1([usize; 4]),
    Vgg16,
}

/// What a layer is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum LayerKind {
    /// A convolution with a kernel of this size.
    Convolution(usize),
    /// A depthwise convolution.
    Depthwise,
}

/// A layer with weights: slim's scope and what it is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Layer {
    pub(crate) scope: String,
    pub(crate) kind: LayerKind,
}

impl Backbone {
    pub(crate) const RESNETS: [Self; 3] =
        [Self::ResnetV1([3, 4, 6, 3]), Self::ResnetV1([3, 4, 23, 3]), Self::ResnetV1([3, 8, 36, 3])];

    /// The scope of all its layers.
    pub(crate) fn scope(self) -> String {
        match self {
            Self::MobilenetV1 => "MobilenetV1".to_owned(),
            Self::MobilenetV2 => "MobilenetV2".to_owned(),
            Self::ResnetV1(units) => format!("resnet_v1_{}", 3 * units.iter().sum::<usize>() + 2),
            Self::Vgg16 => "vgg_16".to_owned(),
        }
    }

    /// Its convolutions in the order of computation; a shortcut stands before the last convolution of its unit,
    /// where Keras lists it.
    pub(crate) fn layers(self) -> Vec<Layer> {
        let root = self.scope();
        let mut layers = Vec::new();
        let mut push = |scope: String, kind| layers.push(Layer { scope: format!("{root}/{scope}"), kind });
        match self {
            Self::MobilenetV1 => {
                push("Conv2d_0".to_owned(), LayerKind::Convolution(3));
                for i in 1..=13 {
                    push(format!("Conv2d_{i}_depthwise"), LayerKind::Depthwise);
                    push(format!("Conv2d_{i}_pointwise"), LayerKind::Convolution(1));
                }
            }
            Self::MobilenetV2 => {
                push("Conv".to_owned(), LayerKind::Convolution(3));
                for i in 0..=16 {
                    let block = if i == 0 { "expanded_conv".to_owned() } else { format!("expanded_conv_{i}") };
                    if i > 0 {
                        push(format!("{block}/expand"), LayerKind::Convolution(1));
                    }
                    push(format!("{block}/depthwise"), LayerKind::Depthwise);
                    push(format!("{block}/project"), LayerKind::Convolution(1));
                }
                push("Conv_1".to_owned(), LayerKind::Convolution(1));
            }
            Self::ResnetV1(units) => {
                push("conv1".to_owned(), LayerKind::Convolution(7));
                for (block, &units) in units.iter().enumerate() {
                    for unit in 1..=units {
                        let scope = resnet_unit(block + 1, unit);
                        push(format!("{scope}/conv1"), LayerKind::Convolution(1));
                        push(format!("{scope}/conv2"), LayerKind::Convolution(3));
                        if unit == 1 {
                            push(format!("{scope}/shortcut"), LayerKind::Convolution(1));
                        }
                        push(format!("{scope}/conv3"), LayerKind::Convolution(1));
                    }
                }
            }
            Self::Vgg16 => {
                for (block, convolutions) in VGG_16.iter().enumerate() {
                    for i in 1..=*convolutions {
                        push(format!("conv{0}/conv{0}_{i}", block + 1), LayerKind::Convolution(3));
                    }
                }
            }
        }
        layers
    }
}

/// Convolutions in each block of VGG-16.
pub(crate) const VGG_16: [usize; 5] = [2, 2, 3, 3, 3];

/// The scope of a bottleneck, blocks and units counted from 1.
pub(crate) fn resnet_unit(block: usize, unit: usize) -> String {
    format!("block{block}/unit_{unit}/bottleneck_v1")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn networks_have_as_many_layers_as_their_papers_say() {
        assert_eq!(Backbone::MobilenetV1.layers().len(), 27);
        assert_eq!(Backbone::MobilenetV2.layers().len(), 52);
        let lengths = Backbone::RESNETS.map(|network| (network.scope(), network.layers().len()));
        // One less than the name for the classifier, four more for the shortcuts.
        let wanted = [("resnet_v1_50", 53), ("resnet_v1_101", 104), ("resnet_v1_152", 155)];
        assert_eq!(lengths, wanted.map(|(name, length)| (name.to_owned(), length)));
        assert_eq!(Backbone::Vgg16.layers().len(), 13);
    }
}
