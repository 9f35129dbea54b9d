//! `make kube`: the real control plane of the tests, for trials by hand and for `metal3-ipam bench`. It tests nothing.

use std::fs;
use std::path::Path;

use super::control_plane;

#[tokio::test(flavor = "multi_thread")]
#[ignore = "serves until Ctrl-C: make kube"]
async fn a_real_control_plane_to_try_things_on() {
    let plane = control_plane::started().await;
    let plane = plane.expect("Go on the path, to build kube-apiserver with");
    // Where it is found again; it stops to lead anywhere when this ends.
    let kubeconfig = Path::new(env!("CARGO_MANIFEST_DIR")).join("target/kubeconfig");
    fs::copy(&plane.shared.kubeconfig, &kubeconfig).unwrap();
    control_plane::say(&format!(
        "A real kube-apiserver serves the definitions of this project and Cluster API's until Ctrl-C.\nexport KUBECONFIG={}",
        kubeconfig.display()
    ));
    tokio::signal::ctrl_c().await.unwrap();
    fs::remove_file(&kubeconfig).unwrap();
}
