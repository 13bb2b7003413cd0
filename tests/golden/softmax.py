"""Softmax regression in float64: the objective and its optimum. The golden scripts beside this file use it.

For weights W [d, k], bias b [k], n rows x_i and targets t_i [k], finite and >= 0 but of any sum; row i counts s_i, which
is the sum of t_i unless told:

    loss      = sum_i(-sum_c t_ic ln p_ic) / sum_i(s_i)
    objective = loss + l2/2 sum(W^2)            the bias is free

The solver works in centred features of unit deviation, V = W * deviation. Centring is exact, since the bias is free;
scaling is exact, since each feature carries its own penalty: l2 / deviation^2 if the weights of the given features are
penalised, l2 if those of the standardised ones are. So badly scaled features cost no accuracy.
"""

import dataclasses

import numpy as np
from scipy.linalg import cho_factor, cho_solve
from scipy.special import logsumexp

GRADIENT_MAX = 1e-10  # the largest entry of the gradient at what counts as an optimum


@dataclasses.dataclass
class Optimum:
    objective: float
    loss: float
    gradient_max: float  # in the solver's coordinates
    attained: bool  # false: an infimum, approached as the bias of a class without weight goes to minus infinity
    weights: np.ndarray  # of the given features, not of the standardised ones
    bias: np.ndarray

    def logits(self, x):
        return x.astype(np.float64) @ self.weights + self.bias

    def correct(self, x, labels):
        return int((self.logits(x).argmax(1) == labels).sum())


def one_hot(labels, classes):
    return np.eye(classes)[labels]


def moments(x, s):
    """Weighted mean and population deviation of each feature; 1 for a feature that is constant where s > 0."""
    mean = s @ x / s.sum()
    variance = s @ (x - mean) ** 2 / s.sum()
    seen = x[s > 0]
    return mean, np.where(seen.max(0) == seen.min(0), 1.0, np.sqrt(variance))


def minimise(x, targets, l2, standardized, s=None):
    """The optimum of the objective at the top of this file."""
    x = x.astype(np.float64)
    s = targets.sum(1) if s is None else s
    mean, deviation = moments(x, s)
    z = (x - mean) / deviation
    penalty = np.full(x.shape[1], l2) if standardized else l2 / deviation**2
    # A class without weight only adds to the loss: the infimum is the optimum without it, its own weights zero.
    present = targets.sum(0) > 0
    problem = Problem(z, targets[:, present] / s.sum(), penalty)
    point = problem.newton() if z.shape[1] <= 100 else problem.newton_cg()
    objective, loss, _ = problem.value(point)
    weights, bias = np.zeros((x.shape[1], len(present))), np.full(len(present), -np.inf)
    weights[:, present] = point[:-1] / deviation[:, None]
    bias[present] = point[-1] - mean @ weights[:, present]
    gradient_max = float(np.abs(problem.gradient(point)).max())
    assert gradient_max < GRADIENT_MAX, gradient_max
    return Optimum(objective, loss, gradient_max, bool(present.all()), weights, bias)


class Problem:
    """Rows z with a column of ones behind, targets over the sum of the rows' weights, a penalty for each feature.
    A point is V with the bias as its last row."""

    def __init__(self, z, targets, penalty):
        self.z = np.hstack([z, np.ones((len(z), 1))])
        self.targets = targets
        self.s = targets.sum(1)
        self.penalty = np.append(penalty, 0.0)[:, None]

    def value(self, point):
        """Objective, loss, logits."""
        logits = self.z @ point
        rows = self.s * logsumexp(logits, axis=1) - (self.targets * logits).sum(1)
        loss = float(rows.sum())
        return loss + float((self.penalty * point**2).sum()) / 2, loss, logits

    def probabilities(self, logits):
        return np.exp(logits - logsumexp(logits, axis=1, keepdims=True))

    def gradient(self, point):
        p = self.probabilities(self.z @ point)
        return self.z.T @ (self.s[:, None] * p - self.targets) + self.penalty * point

    def hessian(self, p):
        """[k d, k d], class by class. The direction that shifts all classes alike has no curvature in the loss; the
        gradient is zero along it, so any curvature there leaves the step as it is, and makes the matrix definite."""
        d, k = self.z.shape[1], p.shape[1]
        h = np.empty((k, d, k, d))
        gauge = np.diag((self.s[:, None] * self.z**2).sum(0) / k)
        for a in range(k):
            for b in range(a + 1):
                curvature = self.s * p[:, a] * ((a == b) - p[:, b])
                h[a, :, b, :] = self.z.T @ (curvature[:, None] * self.z) + gauge
                h[b, :, a, :] = h[a, :, b, :].T
            h[a, :, a, :] += np.diag(self.penalty[:, 0])
        return h.reshape(k * d, k * d)

    def descend(self, direction, enough):
        """Newton's method with a backtracking line search, until the gradient's largest entry is below this or no
        longer falls."""
        point = np.zeros((self.z.shape[1], self.targets.shape[1]))
        best = point, np.inf
        for _ in range(200):
            objective, _, logits = self.value(point)
            gradient = self.gradient(point)
            largest = np.abs(gradient).max()
            if largest < best[1]:
                best, stalled = (point, largest), 0
            else:
                stalled += 1
            if largest < enough or (best[1] < GRADIENT_MAX and stalled > 0) or stalled > 20:
                break
            step = direction(gradient, self.probabilities(logits))
            slope, size = float((gradient * step).sum()), 1.0
            # Near the optimum the decrease drowns in the objective's rounding: full steps there.
            while self.value(point + size * step)[0] > objective + 1e-4 * size * slope + 1e-14 * abs(objective):
                size /= 2
            point = point + size * step
        return best[0]

    def newton(self):
        """With the whole Hessian, its diagonal scaled to ones."""

        def direction(gradient, p):
            h = self.hessian(p)
            scale = 1 / np.sqrt(np.diag(h))
            factor = cho_factor(h * scale[:, None] * scale, overwrite_a=True)
            step = scale * cho_solve(factor, scale * gradient.T.ravel())
            return -step.reshape(gradient.T.shape).T

        return self.descend(direction, 1e-15)

    def newton_cg(self):
        """With Hessian times vector, preconditioned by the rows' Gram matrix over the number of classes."""
        k = self.targets.shape[1]
        gram = self.z.T @ (self.s[:, None] * self.z) / k + np.diag(self.penalty[:, 0])
        gram = cho_factor(gram + 1e-3 / k * np.diag(np.diag(gram)) + 1e-12 * np.eye(len(gram)))

        def direction(gradient, p):
            def times(v):
                u = self.z @ v
                u -= (p * u).sum(1, keepdims=True)
                return self.z.T @ (self.s[:, None] * p * u) + self.penalty * v

            step, residual = np.zeros_like(gradient), -gradient
            size = np.linalg.norm(gradient)
            goal = size * max(min(0.1, np.sqrt(size)), 1e-6)
            y = cho_solve(gram, residual)
            v, rho = y, float((residual * y).sum())
            for _ in range(2000):
                hv = times(v)
                alpha = rho / float((v * hv).sum())
                step, residual = step + alpha * v, residual - alpha * hv
                if np.linalg.norm(residual) < goal:
                    break
                y = cho_solve(gram, residual)
                rho, before = float((residual * y).sum()), rho
                v = y + rho / before * v
            return step

        return self.descend(direction, 1e-12)  # below, conjugate gradients would solve for rounding errors
