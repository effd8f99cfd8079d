import numpy as np

from owtrend.model.axis import Axis


def test_axis_survives_its_schema():
    axis = Axis(np.array([0.0, 1, 10]), regular=False, title="p_{T}", labels={1: "low"})
    again = Axis.from_dict(axis.to_dict())
    assert again == axis
    assert (again.title, again.labels) == (axis.title, axis.labels)
    assert Axis.from_dict(Axis.spaced(3, -0.1, 0.7).to_dict()) == Axis.spaced(3, -0.1, 0.7)
