{{- define "berthmaster.fullname" -}}
{{- if contains .Chart.Name .Release.Name }}{{ .Release.Name | trunc 50 | trimSuffix "-" }}{{ else }}{{ printf "%s-%s" .Release.Name .Chart.Name | trunc 50 | trimSuffix "-" }}{{ end }}
{{- end }}

{{- define "berthmaster.selector" -}}
app.kubernetes.io/name: berthmaster
app.kubernetes.io/instance: {{ .Release.Name }}
app.kubernetes.io/component: operator
{{- end }}

{{- define "berthmaster.labels" -}}
{{ include "berthmaster.selector" . }}
app.kubernetes.io/version: {{ .Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ .Release.Service }}
helm.sh/chart: {{ printf "%s-%s" .Chart.Name .Chart.Version }}
{{- end }}

{{- define "berthmaster.serviceAccount" -}}
{{- if .Values.serviceAccount.create }}{{ .Values.serviceAccount.name | default (include "berthmaster.fullname" .) }}{{ else }}{{ .Values.serviceAccount.name | default "default" }}{{ end }}
{{- end }}

{{- define "berthmaster.image" -}}
{{- if .Values.image.digest }}{{ .Values.image.repository }}@{{ .Values.image.digest }}{{ else }}{{ .Values.image.repository }}:{{ .Values.image.tag | default .Chart.AppVersion }}{{ end }}
{{- end }}

{{- /* Where the settings say that the operator listens. */}}
{{- define "berthmaster.healthPort" -}}
{{ (.Values.settings.health).port | default 8080 | int }}
{{- end }}

{{- define "berthmaster.catalogueFiles" -}}
{{- $files := dict }}
{{- range $kind, $document := .Values.catalogues }}{{ if $document }}{{ $_ := set $files $kind (printf "/etc/berthmaster/%s.yaml" $kind) }}{{ end }}{{ end }}
{{- $files | toYaml }}
{{- end }}

{{- /* What a workload's children can be: the kinds in operator/berth_operator/kinds.py. */}}
{{- define "berthmaster.childKinds" -}}
- {apiGroups: [apps], resources: [deployments]}
- {apiGroups: [""], resources: [services, configmaps, serviceaccounts]}
- {apiGroups: [policy], resources: [poddisruptionbudgets]}
- {apiGroups: [networking.k8s.io], resources: [networkpolicies]}
- {apiGroups: [monitoring.coreos.com], resources: [podmonitors]}
{{- end }}
