"""Operations of torch that multiply more than value by value."""

from __future__ import annotations

import torch
from torch.utils.flop_counter import flop_registry

ATEN = torch.ops.aten
PRODUCTS = {
    *flop_registry,
    ATEN._cdist_forward,
    ATEN._euclidean_dist,
    ATEN._fft_c2c,
    ATEN._fft_c2r,
    ATEN._fft_r2c,
    ATEN._linalg_det,
    ATEN._linalg_eigh,
    ATEN._linalg_eigvals,
    ATEN._linalg_slogdet,
    ATEN._linalg_solve_ex,
    ATEN._linalg_svd,
    ATEN._pdist_forward,
    ATEN._scaled_dot_product_flash_attention_for_cpu,
    ATEN._scaled_dot_product_fused_attention_overrideable,
    ATEN._trilinear,
    ATEN.addbmm,
    ATEN.addmv,
    ATEN.cholesky_inverse,
    ATEN.cholesky_solve,
    ATEN.conv_tbc,
    ATEN.dot,
    ATEN.geqrf,
    ATEN.linalg_cholesky_ex,
    ATEN.linalg_eig,
    ATEN.linalg_householder_product,
    ATEN.linalg_inv_ex,
    ATEN.linalg_ldl_factor_ex,
    ATEN.linalg_ldl_solve,
    ATEN.linalg_lstsq,
    ATEN.linalg_lu,
    ATEN.linalg_lu_factor_ex,
    ATEN.linalg_lu_solve,
    ATEN.linalg_matrix_exp,
    ATEN.linalg_qr,
    ATEN.linalg_solve_triangular,
    ATEN.mv,
    ATEN.ormqr,
    ATEN.triangular_solve,
    ATEN.vdot,
}
"""Those that torch counts, and others that it does not."""
